"""Blocks of transformers on token ids: RMSNorm, rotary positions, gated linear units."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser.errors import ConfigError, below_one, count

THETA = 10_000.0
Past = tuple[Tensor, Tensor]  # keys and values of the tokens before, (batch, heads, tokens, d)


class Attention(nn.Module):
    """softmax(q kᵀ / √d) v of each head, d wide, with rotary positions where it is of itself.

    (batch, tokens, width) → the same. How many heads there are is read from the projections'
    widths, so that heads can be cut.

    Args:
        causal: a token sees itself and the ones before it.

    Sources: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; Su et al., "RoFormer", 2021,
    https://arxiv.org/abs/2104.09864
    """

    def __init__(self, width: int, heads: int, causal: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.head_dim, self.causal, self.dropout = width // heads, causal, dropout
        square = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = square

    def apart(self, x: Tensor) -> Tensor:
        """(batch, tokens, heads·d) → (batch, heads, tokens, d)."""
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def forward(self, x: Tensor, other: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """``other``: the sequence that is looked at, x itself if None; ``mask``: (batch, 1, 1,
        its tokens), False where it must not look."""
        q, (k, v) = self.apart(self.q_proj(x)), self.keys_values(x if other is None else other)
        if other is None:
            q, k = rotated(q), rotated(k)
        return self.mixed(q, k, v, mask, self.causal)

    def step(self, x: Tensor, past: Past | None) -> tuple[Tensor, Past]:
        """The same of tokens behind those whose keys and values are ``past``; one token where there
        are any."""
        first = 0 if past is None else past[0].shape[2]
        q, (k, v) = rotated(self.apart(self.q_proj(x)), first), self.keys_values(x)
        k = rotated(k, first)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        return self.mixed(q, k, v, None, past is None), (k, v)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.apart(self.k_proj(x)), self.apart(self.v_proj(x))

    def mixed(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=causal
        )
        mixed: Tensor = self.o_proj(out.transpose(1, 2).flatten(2))
        return mixed


class FeedForward(nn.Module):
    """down(silu(gate(x)) · up(x)). Source: Shazeer, "GLU Variants Improve Transformer", 2020,
    https://arxiv.org/abs/2002.05202"""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, hidden, bias=False)
        self.up_proj = nn.Linear(width, hidden, bias=False)
        self.down_proj = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)); between them with ``crossed`` x +
    attention of the source."""

    def __init__(
        self, width: int, heads: int, causal: bool, dropout: float = 0.0, crossed: bool = False
    ) -> None:
        super().__init__()
        self.norm1, self.attention = nn.RMSNorm(width), Attention(width, heads, causal, dropout)
        self.norm2, self.feed_forward = nn.RMSNorm(width), FeedForward(width, hidden_of(width))
        if crossed:
            self.norm3, self.cross = nn.RMSNorm(width), Attention(width, heads, False, dropout)
        self.crossed, self.drop = crossed, nn.Dropout(dropout)

    def forward(
        self, x: Tensor, source: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """``mask``: of the source where there is one, of x itself where there is none."""
        own = None if self.crossed else mask
        x = x + self.drop(self.attention(self.norm1(x), None, own))
        if self.crossed:
            x = x + self.drop(self.cross(self.norm3(x), source, mask))
        out: Tensor = x + self.drop(self.feed_forward(self.norm2(x)))
        return out

    def step(self, x: Tensor, past: Past | None) -> tuple[Tensor, Past]:
        """The same of what follows ``past``, without a source."""
        mixed, past = self.attention.step(self.norm1(x), past)
        x = x + self.drop(mixed)
        out: Tensor = x + self.drop(self.feed_forward(self.norm2(x)))
        return out, past


def rotated(x: Tensor, first: Tensor | int = 0) -> Tensor:
    """Each pair (i, i + d/2) of the last dimension turned by position · θ^(-2i/d).

    Args:
        x: (..., tokens, d); the first of them stands at position ``first``.
    """
    half, tokens = x.shape[-1] // 2, x.shape[-2]
    speed = THETA ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angle = (first + torch.arange(tokens, device=x.device))[:, None] * speed
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def hidden_of(width: int) -> int:
    """Of the feed-forward layer: 8/3 of the width, as its three matrices then weigh what two of
    four times the width do; a multiple of 8."""
    return -(-8 * width // 3 // 8) * 8


def initialise(model: nn.Module, layers: int) -> None:
    """N(0, 0.02²), and what ends a residual branch N(0, 0.02² / 2·layers), as GPT-2 does."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            ends = name.endswith(("o_proj", "down_proj"))
            nn.init.normal_(module.weight, std=0.02 / (2 * layers) ** 0.5 if ends else 0.02)


def check_sizes(width: int, heads: int, dropout: float, **layers: int) -> None:
    """ConfigError for sizes of no transformer."""
    for key, value in {"width": width, "heads": heads, **layers}.items():
        count(f"model.{key}", value)
    below_one("model.dropout", dropout)
    if width % (2 * heads):
        raise ConfigError("model.width", width, f"a multiple of twice model.heads ({2 * heads})")
