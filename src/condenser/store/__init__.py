"""A content-addressed store of stage results, shared by all runs and processes."""

from condenser.store.entries import RECORD, Entry, key_of, load, model_folder
from condenser.store.storage import StageDir, Store, check_place, stored_at, whole

__all__ = [
    "RECORD",
    "Entry",
    "StageDir",
    "Store",
    "check_place",
    "key_of",
    "load",
    "model_folder",
    "stored_at",
    "whole",
]
