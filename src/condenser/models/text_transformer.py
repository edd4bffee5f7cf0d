"""A small transformer encoder of texts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.errors import ConfigError, below_one, count
from condenser.models.bag import masked, table
from condenser.tasks import PAD

OUT = -1e4  # added to a score that is not to count


class TextTransformer(nn.Module):
    """ids (batch, length) → logits (batch, classes).

    Token and position embeddings, ``depth`` blocks of attention and a feed-forward layer with the
    layer norm before each, the mean over what is no padding, a linear layer. Padding is masked.

    Source: Vaswani et al., "Attention Is All You Need", 2017, https://arxiv.org/abs/1706.03762;
    norms first: Xiong et al., 2020, https://arxiv.org/abs/2002.04745
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        vocab_size: int,
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        below_one("model.dropout", dropout)
        if count("model.width", width) % count("model.heads", heads):
            raise ConfigError("model.heads", heads, f"a divisor of model.width={width}")
        self.embedding = table(vocab_size, width, std=0.02)
        self.positions = nn.Embedding(input_shape[-1], width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.fc = nn.Linear(width, num_classes)
        nn.init.normal_(self.positions.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.dropout(self.embedding(ids) + self.positions(places))
        hidden = (ids == PAD).to(x.dtype) * OUT
        for block in self.blocks:
            x = block(x, hidden)
        there = (ids != PAD).sum(1, keepdim=True).clamp(min=1)
        logits: Tensor = self.fc(masked(self.norm(x), ids).sum(1) / there)
        return logits


class Block(nn.Module):
    """x + attention(norm(x)), then + feed-forward(norm(x))."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gelu, self.dropout = nn.GELU(), nn.Dropout(dropout)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        y = self.norm1(x)
        seen, _ = self.attention(y, y, y, key_padding_mask=hidden, need_weights=False)
        x = x + self.dropout(seen)
        out: Tensor = x + self.dropout(self.down(self.gelu(self.up(self.norm2(x)))))
        return out
