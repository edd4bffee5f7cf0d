"""Whole blocks that are really gone: a shallower network."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from condenser.compress.base import Probe
from condenser.compress.structure.base import Structural, first_reasons
from condenser.compress.structure.operations import RemovedBlocks
from condenser.compress.structure.residual import Remains, removable
from condenser.errors import ConfigError
from condenser.measure import evaluating

IMAGES = 8  # run to see what a block does


class BlockCriterion(ABC):
    """(model, what would remain of each block, probe) → block → score, high = keep."""

    @abstractmethod
    def __call__(self, model: nn.Module, blocks: Remains, probe: Probe) -> dict[str, float]: ...


class LossChange(BlockCriterion):
    """By how much the loss on training images grows when the block alone goes.

    Args:
        images: how many training images to look at.
    """

    def __init__(self, images: int = 512) -> None:
        if images < 1:
            raise ConfigError("cut.criterion.images", images, "a whole number from 1 up")
        self.images = images

    def __call__(self, model: nn.Module, blocks: Remains, probe: Probe) -> dict[str, float]:
        before = self.loss(model, probe)
        return {
            name: self.loss(without(model, {name: left}), probe) - before
            for name, left in blocks.items()
        }

    def loss(self, model: nn.Module, probe: Probe) -> float:
        images, targets = probe.sample(self.images)
        with evaluating(model):
            logits = torch.cat([model(part) for part in images.split(256)])
            return float(probe.loss(logits, targets))


class Density(BlockCriterion):
    """The fraction of a block's weights above ``threshold`` in size: the sparsest block goes first.

    Meant for networks that were pruned or trained with an l1 penalty.
    """

    def __init__(self, threshold: float = 1e-3) -> None:
        if threshold < 0:
            raise ConfigError("cut.criterion.threshold", threshold, "a number from 0 up")
        self.threshold = threshold

    def __call__(self, model: nn.Module, blocks: Remains, probe: Probe) -> dict[str, float]:
        return {name: self.density(model, name, left) for name, left in blocks.items()}

    def density(self, model: nn.Module, name: str, left: Sequence[str]) -> float:
        weights = [
            weight.detach()
            for key, weight in model.get_submodule(name).named_parameters()
            if weight.dim() > 1 and key.split(".")[0] not in left
        ]
        total = sum(weight.numel() for weight in weights)
        return sum(int((w.abs() > self.threshold).sum()) for w in weights) / total


class RandomBlock(BlockCriterion):
    """Drawn from U(0, 1): the control."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def __call__(self, model: nn.Module, blocks: Remains, probe: Probe) -> dict[str, float]:
        draws = torch.rand(len(blocks), generator=torch.Generator().manual_seed(self.seed))
        return dict(zip(blocks, draws.tolist(), strict=True))


class CutBlocks(Structural):
    """Remove the least important residual blocks, or, in a plain network, whole layers.

    A block leaves the identity behind, or its shortcut where the shape changes.

    Args:
        criterion: (model, blocks, probe) → scores, high = keep.
        rate: fraction of the removable blocks to remove, in [0, 1).
        count: how many to remove, instead of ``rate``.
        exclude: patterns of names of blocks that stay.

    Attributes:
        scores: block → score, after ``prepare``.

    Raises:
        ConfigError: a value out of range; not exactly one of rate and count; too few blocks.
    """

    def __init__(
        self,
        criterion: BlockCriterion,
        rate: float | None = None,
        count: int | None = None,
        exclude: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if (rate is None) == (count is None):
            given = {"rate": rate, "count": count}
            raise ConfigError("cut", given, "one of cut.rate, cut.count", "set the other to null")
        if rate is not None and not 0 <= rate < 1:
            raise ConfigError("cut.rate", rate, "a number from 0 up to, not including, 1")
        if count is not None and count < 1:
            raise ConfigError("cut.count", count, "a whole number from 1 up")
        self.criterion, self.rate, self.count, self.exclude = criterion, rate, count, exclude
        self.scores: dict[str, float] = {}

    def cut(self, model: nn.Module, image: Tensor, probe: Probe) -> None:
        images, _ = probe.sample(IMAGES)
        blocks, self.skipped = removable(model, images, self.exclude)
        number = self.number(blocks)
        self.scores = self.criterion(model, blocks, probe)
        gone = sorted(blocks, key=lambda name: self.scores[name])[:number]
        done = RemovedBlocks({name: left for name, left in blocks.items() if name in gone})
        done.apply(model)
        self.operations.append(done)

    def number(self, blocks: Remains) -> int:
        """How many blocks go. Raises ConfigError where there are not so many."""
        if not blocks:
            allowed = "a network with residual blocks, or layers that keep the shape"
            raise ConfigError("cut", "CutBlocks", allowed, first_reasons(self.skipped))
        if self.rate is not None:
            return round(self.rate * len(blocks))
        assert self.count is not None
        if self.count > len(blocks):
            allowed = f"at most {len(blocks)}, the blocks that can go: {', '.join(blocks)}"
            raise ConfigError("cut.count", self.count, allowed)
        return self.count


def without(model: nn.Module, blocks: Remains) -> nn.Module:
    """A copy without these blocks."""
    copied = copy.deepcopy(model)
    RemovedBlocks(blocks).apply(copied)
    return copied
