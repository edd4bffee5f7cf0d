"""Lossless packed model files: entropy-coded weights, restored bit for bit."""

from condenser.checkpoint.packed.file import Row, pack, table, unpack

__all__ = ["Row", "pack", "table", "unpack"]
