"""Memory bank: one embedding per training sample."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.functional.features import unit


class Memory(nn.Module):
    """An embedding m of each sample, (samples, dimensions) of length about 1, random at first.

    Args:
        draws: K, how many of them a sample is to be told from.
    """

    rows: Tensor
    total: Tensor  # Z, and 0 before the first batch

    def __init__(self, samples: int, dimensions: int, draws: int) -> None:
        super().__init__()
        self.draws = draws
        bound = (3 / dimensions) ** 0.5
        self.register_buffer("rows", torch.empty(samples, dimensions).uniform_(-bound, bound))
        self.register_buffer("total", torch.zeros(()))

    def log_odds(
        self, anchor: Tensor, index: Tensor, drawn: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        """log(e^(a_i·m_j)/Z · samples/K) of each anchor's own sample, (batch,), and of those drawn.

        Args:
            anchor: a, (batch, dimensions).
            index: (batch,) the samples that they are of.
            drawn: (n,) samples.
            weights: (batch, n) of those in Z, K in a row.
        """
        own, others = (self.rows.index_select(0, which) for which in (index, drawn))
        if not self.total:
            self.begin(anchor.detach(), own, others, weights)
        shift = (self.total * self.draws / len(self.rows)).log()
        return torch.linalg.vecdot(anchor, own) - shift, anchor @ others.T - shift

    def begin(self, anchor: Tensor, own: Tensor, others: Tensor, weights: Tensor) -> None:
        """Z = samples · the mean of e^(a_i·m_j) over each anchor's own sample and K others."""
        pair = torch.linalg.vecdot(anchor, own).exp()
        rest = torch.linalg.vecdot((anchor @ others.T).exp(), weights)
        self.total.copy_(len(self.rows) * (pair + rest).mean() / (1 + self.draws))

    @torch.no_grad()
    def keep(self, index: Tensor, embedding: Tensor, momentum: float) -> None:
        """m_i ← unit(momentum·m_i + (1 - momentum)·embedding_i)."""
        mixed = momentum * self.rows[index] + (1 - momentum) * embedding
        self.rows.index_copy_(0, index, unit(mixed, dim=1))
