"""Results of stages, kept by content key and reused by every run and process."""

from condenser.store.entries import FACTS, Entry, key_of, model_folder
from condenser.store.keep import Place, Store, stored_at

__all__ = ["FACTS", "Entry", "Place", "Store", "key_of", "model_folder", "stored_at"]
