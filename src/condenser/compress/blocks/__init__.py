"""Whole residual blocks removed: a shallower network."""
