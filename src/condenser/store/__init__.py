"""Results of stages, kept by content key and reused by every run and process."""

from condenser.store.entries import FACTS, Entry, key_of, load, model_folder
from condenser.store.storage import Place, Store, check_place, stored_at, whole

__all__ = [
    "FACTS",
    "Entry",
    "Place",
    "Store",
    "check_place",
    "key_of",
    "load",
    "model_folder",
    "stored_at",
    "whole",
]
