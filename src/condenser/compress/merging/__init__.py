"""Merging of similar neurons and channels."""

from condenser.compress.merging.compression import Merging

__all__ = ["Merging"]
