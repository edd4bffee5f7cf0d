"""Small networks of recommendation: a user's id, or a history of items → a score for every item."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser.errors import below_one, count
from condenser.models.transformer import Block, check_sizes
from condenser.tasks import PAD

FIRST = 2  # id of the first item: 0 is padding, 1 one that is not known


class MatrixFactorization(nn.Module):
    """s(u, i) = p_u · q_i + b_i. User ids int64 (batch, 1) → scores (batch, items).

    Source: Koren, Bell, Volinsky, Matrix Factorization Techniques for Recommender Systems (2009),
    https://doi.org/10.1109/MC.2009.263; without user biases, which change no ranking
    """

    def __init__(self, vocab_size: int, num_classes: int, width: int = 64) -> None:
        super().__init__()
        count("model.width", width)
        self.embedding = nn.Embedding(vocab_size, width, padding_idx=PAD)
        self.user = nn.Identity()  # its output is the user's vector
        self.items = nn.Linear(width, num_classes)
        for table in (self.embedding, self.items):
            nn.init.normal_(table.weight, std=0.1 / width**0.5)
        nn.init.zeros_(self.items.bias)

    def forward(self, ids: Tensor) -> Tensor:
        scores: Tensor = self.items(self.user(self.embedding(ids[:, 0])))
        return scores


class TwoTowers(nn.Module):
    """s(u, i) = f(p_u) · g(q_i), f and g a hidden layer each. User ids (batch, 1) → (batch, items).

    Source: Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
    Recommendations (2019), https://doi.org/10.1145/3298689.3346996, of ids alone
    """

    def __init__(self, vocab_size: int, num_classes: int, width: int = 64) -> None:
        super().__init__()
        count("model.width", width)
        self.embedding = nn.Embedding(vocab_size, width, padding_idx=PAD)
        self.item_embedding = nn.Embedding(num_classes, width)
        self.user_tower, self.item_tower = tower(width), tower(width)
        self.user = nn.Identity()
        self.bias = nn.Parameter(torch.zeros(num_classes))
        for table in (self.embedding, self.item_embedding):
            nn.init.normal_(table.weight, std=1 / width**0.5)

    def forward(self, ids: Tensor) -> Tensor:
        user = self.user(self.user_tower(self.embedding(ids[:, 0])))
        return F.linear(user, self.item_tower(self.item_embedding.weight), self.bias)


class NeuMF(nn.Module):
    """s(u, i) = w · [p_u ⊙ q_i, MLP(p'_u, q'_i)] + b_i. User ids (batch, 1) → (batch, items).

    The first layer of the MLP is the sum of one of the user and one of the item, which is what a
    layer of the two side by side is: it is computed once for each, not for every pair. b_i, an
    item's own bias, is not in the paper, whose loss has sampled negatives.

    Source: He et al., Neural Collaborative Filtering (2017), https://arxiv.org/abs/1708.05031
    """

    def __init__(self, vocab_size: int, num_classes: int, width: int = 16) -> None:
        super().__init__()
        count("model.width", width // 2, ", times two")
        self.embedding = nn.Embedding(vocab_size, width, padding_idx=PAD)
        self.mlp_embedding = nn.Embedding(vocab_size, width, padding_idx=PAD)
        self.items = nn.Linear(width, num_classes)  # q ⊙ w, and b
        self.item_embedding = nn.Embedding(num_classes, width)
        self.user = nn.Identity()
        self.of_user, self.of_item = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.fc2, self.fc3 = nn.Linear(width, width // 2), nn.Linear(width // 2, 1, bias=False)
        for table in (self.embedding, self.mlp_embedding, self.item_embedding, self.items):
            nn.init.normal_(table.weight, std=0.1 / width**0.5)
        nn.init.zeros_(self.items.bias)

    def forward(self, ids: Tensor) -> Tensor:
        user = ids[:, 0]
        pairs = self.of_user(self.mlp_embedding(user)).unsqueeze(1)
        hidden = self.relu1(pairs + self.of_item(self.item_embedding.weight))
        deep = self.fc3(self.relu2(self.fc2(hidden))).squeeze(2)
        scores: Tensor = self.items(self.user(self.embedding(user))) + deep
        return scores


class SASRec(nn.Module):
    """Self-attention over the items of a history. Ids (batch, length) → scores (batch, items).

    s(i) = h · e_i, h what the blocks make of the last item. Histories are padded behind with 0,
    which no item sees. Blocks are those of our transformers (RMSNorm, rotary positions, gated
    units), where the paper has a table of positions, LayerNorm and ReLU: any length will do.

    Source: Kang, McAuley, Self-Attentive Sequential Recommendation (2018),
    https://arxiv.org/abs/1808.09781
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        width: int = 48,
        heads: int = 1,
        layers: int = 2,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        check_sizes(width, heads, dropout, layers=layers)
        below_one("model.dropout", dropout)
        self.embedding = nn.Embedding(vocab_size, width, padding_idx=PAD)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(width, heads, True, dropout) for _ in range(layers)))
        self.norm, self.user = nn.RMSNorm(width), nn.Identity()
        self.bias = nn.Parameter(torch.zeros(num_classes))
        nn.init.normal_(self.embedding.weight, std=0.1 / width**0.5)

    def forward(self, ids: Tensor) -> Tensor:
        seen = self.norm(self.blocks(self.drop(self.embedding(ids))))
        last = ((ids != PAD).sum(1) - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, seen.shape[2])
        user = self.user(seen.gather(1, last).squeeze(1))
        return F.linear(user, self.embedding.weight[FIRST:], self.bias)


def tower(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
