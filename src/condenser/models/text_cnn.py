"""A convolutional network over token embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from condenser.errors import ConfigError, below_one, count
from condenser.models.bag import masked, table
from condenser.tasks import PAD


class TextCNN(nn.Module):
    """ids (batch, length) → logits (batch, classes).

    Embeddings, convolutions of several widths with ReLU, the maximum of each filter over the text,
    dropout, a linear layer. Windows reach over both ends, where all is 0: padding changes nothing.

    Source: Kim, "Convolutional Neural Networks for Sentence Classification", 2014,
    https://arxiv.org/abs/1408.5882; there without the windows over the ends, and with a bound on
    the weights' norm.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        vocab_size: int,
        width: int = 64,
        filters: int = 64,
        kernels: Sequence[int] = (3, 5),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        below_one("model.dropout", dropout)
        if not kernels or any(size < 1 or size % 2 == 0 for size in kernels):
            raise ConfigError("model.kernels", list(kernels), "odd sizes, as [3, 5]")
        self.embedding = table(vocab_size, count("model.width", width))
        self.convs = nn.ModuleList(
            nn.Conv1d(width, count("model.filters", filters), size, padding=size // 2)
            for size in kernels
        )
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(filters * len(kernels), num_classes)

    def forward(self, ids: Tensor) -> Tensor:
        x = masked(self.embedding(ids), ids).transpose(1, 2)
        there = (ids != PAD).unsqueeze(1).to(x.dtype)
        maps = [(self.relu(conv(x)) * there).amax(2) for conv in self.convs]
        logits: Tensor = self.fc(self.dropout(torch.cat(maps, dim=1)))
        return logits
