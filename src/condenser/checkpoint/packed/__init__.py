"""A model in as few bytes as its entropy allows, and back, bit for bit."""

from condenser.checkpoint.packed.file import Row, pack, table, unpack

__all__ = ["Row", "pack", "table", "unpack"]
