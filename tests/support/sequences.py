"""Inputs that are no images, and networks for them, that are only tested with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.data import Arrays, Splits
from condenser.tasks import Vocabulary

IDS, LONGEST = 20, 12


def rows(count: int, seed: int) -> Tensor:
    """Token ids (count, LONGEST) from 4 on, of lengths 3 to LONGEST."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, IDS, (count, LONGEST), generator=generator)
    length = torch.randint(3, LONGEST + 1, (count, 1), generator=generator)
    return ids * (torch.arange(LONGEST) < length)


def texts(root: object = None, count: int = 300) -> Splits:
    """Is there an id of the upper half more often than one of the lower half?"""

    def part(n: int, seed: int) -> Arrays:
        ids = rows(n, seed)
        high, low = (ids >= 12).sum(1), ((ids > 0) & (ids < 12)).sum(1)
        return Arrays(ids, (high > low).long())

    ids = Vocabulary(IDS)
    return Splits(part(count, 0), part(count // 3, 1), ["low", "high"], vocabulary=ids)


def tokens(root: object = None, count: int = 200) -> Splits:
    """The next id is the last one, plus one."""

    def part(n: int, seed: int) -> Arrays:
        ids = rows(n, seed)
        asked = torch.where(ids > 0, 4 + (ids - 3) % (IDS - 4), -100)
        return Arrays(ids, asked)

    names, ids = [str(n) for n in range(IDS)], Vocabulary(IDS)
    return Splits(part(count, 0), part(count // 2, 1), names, "tokens", vocabulary=ids)


def items(root: object = None, count: int = 300) -> Splits:
    """The next of 20 items is the one after the first; in test the history counts as seen."""

    def part(n: int, seed: int, seen: bool) -> Arrays:
        history = rows(n, seed)
        asked = (history[:, :1] + 1) % IDS
        there = (history > 0) & (history != asked)
        target = torch.cat((asked, torch.where(there, history, -100)), dim=1)
        return Arrays(history, target if seen else asked[:, 0])

    parts = [part(n, seed, seed > 0) for seed, n in enumerate((count, count // 3, count // 3))]
    train, test, val = parts
    names = [f"item {n}" for n in range(IDS)]
    return Splits(train, test, names, "ranking", val, vocabulary=Vocabulary(IDS))


def waves(root: object = None, count: int = 200) -> Splits:
    """A slow or a fast oscillation: float32 (1, 64)."""
    generator = torch.Generator().manual_seed(0)
    target = torch.arange(count) % 2
    phase = 6 * torch.rand(count, 1, generator=generator)
    wave = torch.sin(phase + (1 + target[:, None]) * torch.arange(64) / 4).unsqueeze(1)
    whole = Arrays(wave, target)
    cut = count * 3 // 4
    parts = [whole.select(torch.arange(*ends)) for ends in ((cut,), (cut, count))]
    return Splits(parts[0], parts[1], ["slow", "fast"])


class Bag(nn.Module):
    """The mean embedding, a hidden layer, logits: of texts and of histories."""

    def __init__(
        self, input_shape: tuple[int, ...], num_classes: int, vocab_size: int, width: int = 16
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width, padding_idx=0)
        self.fc1, self.relu = nn.Linear(width, width), nn.ReLU()
        self.fc2 = nn.Linear(width, num_classes)

    def forward(self, ids: Tensor) -> Tensor:
        there = (ids != 0).unsqueeze(-1).float()
        mean = (self.embedding(ids) * there).sum(1) / there.sum(1).clamp(min=1)
        logits: Tensor = self.fc2(self.relu(self.fc1(mean)))
        return logits


class Tagger(Bag):
    """Logits at every place, of its own embedding."""

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.fc2(self.relu(self.fc1(self.embedding(ids))))
        return logits
