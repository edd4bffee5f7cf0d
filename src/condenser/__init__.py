"""Condenser: the smallest network that keeps the accuracy."""

__version__ = "0.1.0"
