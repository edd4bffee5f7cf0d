"""Depth pruning: remove whole residual blocks."""
