"""Results of stages, kept by content key and reused by every run and process."""

from condenser.store.entries import FACTS, Entry, key_of, load, model_folder
from condenser.store.keep import Place, Store, stored_at, whole

__all__ = [
    "FACTS",
    "Entry",
    "Place",
    "Store",
    "key_of",
    "load",
    "model_folder",
    "stored_at",
    "whole",
]
