"""Weights that other code has trained, loaded into a network of the same architecture."""

from condenser.checkpoint.importing.load import Imported, load_weights
from condenser.checkpoint.importing.read import weight_files

__all__ = ["Imported", "load_weights", "weight_files"]
