"""Self-attention as two linear layers, so that it can have fewer heads than its width allows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head self-attention: softmax(q kᵀ / √d) v for each head, d wide.

    (batch, tokens, width) → (batch, tokens, width). ``in_proj`` makes the queries of all heads,
    then the keys, then the values; how many heads there are is read from its width.

    Source: Vaswani et al., "Attention Is All You Need", 2017, https://arxiv.org/abs/1706.03762
    """

    def __init__(self, width: int, heads: int, bias: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.head_width, self.dropout = width // heads, dropout
        self.in_proj = nn.Linear(width, 3 * width, bias)
        self.out_proj = nn.Linear(width, width, bias)

    @property
    def heads(self) -> int:
        return self.in_proj.out_features // (3 * self.head_width)

    @staticmethod
    def of(closed: nn.MultiheadAttention) -> Attention:
        """The same function with the same weights."""
        bias = closed.in_proj_bias is not None
        opened = Attention(closed.embed_dim, closed.num_heads, bias, closed.dropout)
        opened.to(closed.in_proj_weight)
        with torch.no_grad():
            opened.in_proj.weight.copy_(closed.in_proj_weight)
            opened.out_proj.weight.copy_(closed.out_proj.weight)
            if bias:
                opened.in_proj.bias.copy_(closed.in_proj_bias)
                opened.out_proj.bias.copy_(closed.out_proj.bias)
        opened.requires_grad_(closed.in_proj_weight.requires_grad)
        return opened.train(closed.training)

    @staticmethod
    def refusal(closed: nn.MultiheadAttention) -> str:
        """Why this layer cannot be rewritten so; empty if it can."""
        if closed.in_proj_weight is None:
            return "its keys and values have widths of their own"
        if not closed.batch_first:
            return "it wants the batch second (batch_first=False)"
        return (
            "it adds keys of its own" if closed.bias_k is not None or closed.add_zero_attn else ""
        )

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, need_weights: bool = False
    ) -> tuple[Tensor, None]:
        """As torch's: ``query``, ``key`` and ``value`` are the same tensor; no weights come out."""
        q, k, v = self.in_proj(query).unflatten(-1, (3, -1, self.head_width)).unbind(-3)
        dropout = self.dropout if self.training else 0.0
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # (batch, heads, tokens, d)
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        return self.out_proj(mixed.transpose(1, 2).flatten(2)), None
