"""The mean of embeddings, of words and of hashed pairs of words (fastText)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.errors import ConfigError, below_one, count
from condenser.tasks import PAD

PRIME = 16_777_619


class BagOfEmbeddings(nn.Module):
    """ids (batch, length) → logits (batch, classes): a linear layer on the mean embedding.

    With ``buckets`` also of pairs of neighbouring ids (a, b), whose embedding is number
    1 + (16,777,619·a + b) mod (buckets - 1): word order at the price of collisions.

    Source: Joulin, Grave, Bojanowski, Mikolov, "Bag of Tricks for Efficient Text Classification",
    2017, https://arxiv.org/abs/1607.01759; there the hash is another, and there is no dropout.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        vocab_size: int,
        width: int = 16,
        buckets: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        below_one("model.dropout", dropout)
        self.buckets = buckets
        self.embedding = table(vocab_size, count("model.width", width))
        if buckets:
            if buckets < 2:
                raise ConfigError("model.buckets", buckets, "0, or 2 and more")
            self.pairs = table(buckets, width)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, ids: Tensor) -> Tensor:
        there = (ids != PAD).unsqueeze(-1).to(self.fc.weight.dtype)
        total, number = (self.embedding(ids) * there).sum(1), there.sum(1)
        if self.buckets:
            first, second = ids[:, :-1], ids[:, 1:]
            number_of = 1 + (first * PRIME + second) % (self.buckets - 1)
            both = (second != PAD).unsqueeze(-1).to(there.dtype)
            pairs = self.pairs(torch.where(second != PAD, number_of, PAD))
            total, number = total + (pairs * both).sum(1), number + both.sum(1)
        logits: Tensor = self.fc(self.dropout(total / number.clamp(min=1)))
        return logits


def table(ids: int, width: int, std: float = 0.1) -> nn.Embedding:
    """Embeddings of token ids, drawn from N(0, std²); that of padding is 0, and stays so."""
    made = nn.Embedding(ids, width, padding_idx=PAD)
    with torch.no_grad():
        made.weight.normal_(std=std)[PAD] = 0
    return made


def masked(x: Tensor, ids: Tensor) -> Tensor:
    """x (batch, length, width), 0 at the places that are padding."""
    return x * (ids != PAD).unsqueeze(-1).to(x.dtype)


def largest(x: Tensor, ids: Tensor) -> Tensor:
    """The maximum of x (batch, length, width) over the places that are no padding."""
    low = torch.finfo(x.dtype).min / 2
    return x.masked_fill((ids == PAD).unsqueeze(-1), low).amax(1)
