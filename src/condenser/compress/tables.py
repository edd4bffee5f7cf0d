"""Embeddings of token ids, whose rows are looked up."""

from __future__ import annotations

from torch import nn


def is_table(layer: nn.Module) -> bool:
    """Whether it is an embedding of token ids: one with a ``padding_idx``. Positions have none."""
    return isinstance(layer, nn.Embedding) and layer.padding_idx is not None
