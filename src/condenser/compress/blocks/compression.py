"""Depth pruning: whole blocks are physically removed."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from condenser.capture import evaluating
from condenser.compress.base import CalibrationData, Operation, Patterns
from condenser.compress.blocks.residual import WEIGHTED, KeptChildren, removable
from condenser.compress.channels.base import Structural, first_reasons
from condenser.compress.channels.operations import RemovedBlocks
from condenser.compress.channels.selection import fewest
from condenser.compress.channels.targets import check_goal, unreachable
from condenser.compress.patterns import listed
from condenser.compress.promises import Promise, some, what_is_left
from condenser.errors import ConfigError, count, nonnegative
from condenser.measure import compute, size

IMAGES = 8  # run to see what a block does


class BlockCriterion(ABC):
    """(model, what would remain of each block, calibration) → block → score, high = keep."""

    @abstractmethod
    def __call__(
        self, model: nn.Module, blocks: KeptChildren, calibration: CalibrationData
    ) -> dict[str, float]: ...


class LossChange(BlockCriterion):
    """Increase of the training loss when the block alone is removed.

    Args:
        images: how many training images to look at.
    """

    def __init__(self, images: int = 512) -> None:
        self.images = count("cut.criterion.images", images)

    def __call__(
        self, model: nn.Module, blocks: KeptChildren, calibration: CalibrationData
    ) -> dict[str, float]:
        before = self.loss(model, calibration)
        return {
            name: self.loss(without(model, {name: left}), calibration) - before
            for name, left in blocks.items()
        }

    def loss(self, model: nn.Module, calibration: CalibrationData) -> float:
        images, targets = calibration.sample(self.images)
        with evaluating(model):
            logits = torch.cat([model(part) for part in images.split(256)])
            return float(calibration.loss(logits, targets))


class Density(BlockCriterion):
    """The fraction of a block's weights above ``threshold`` in size: the sparsest block goes first.

    Meant for networks that were pruned or trained with an l1 penalty.
    """

    def __init__(self, threshold: float = 1e-3) -> None:
        self.threshold = nonnegative("cut.criterion.threshold", threshold)

    def __call__(
        self, model: nn.Module, blocks: KeptChildren, calibration: CalibrationData
    ) -> dict[str, float]:
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
    """Random scores from U(0, 1): the baseline."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def __call__(
        self, model: nn.Module, blocks: KeptChildren, calibration: CalibrationData
    ) -> dict[str, float]:
        draws = torch.rand(len(blocks), generator=torch.Generator().manual_seed(self.seed))
        return dict(zip(blocks, draws.tolist(), strict=True))


class CutBlocks(Structural):
    """Remove the least important residual blocks, or, in a plain network, whole layers.

    A block leaves the identity behind, or its shortcut where the shape changes. What is asked for
    is one of ``rate``, ``count``, ``macs`` and ``params``; for the last two blocks go, the least
    important first, until it is reached.

    Args:
        criterion: (model, blocks, calibration) → scores, high = keep.
        rate: fraction of the removable blocks to remove, in [0, 1).
        count: how many to remove.
        macs: fraction of the MACs that may be left, in (0, 1].
        params: fraction of the parameters that may be left, in (0, 1].
        exclude: patterns of names of blocks that stay.

    Attributes:
        scores: block → score, after ``prepare``.

    Raises:
        ConfigError: a value out of range; not exactly one goal; too few blocks for it.
    """

    def __init__(
        self,
        criterion: BlockCriterion,
        rate: float | None = None,
        count: int | None = None,
        macs: float | None = None,
        params: float | None = None,
        exclude: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.key, self.goal = check_goal(rate=rate, count=count, macs=macs, params=params)
        self.criterion, self.exclude = criterion, listed("cut.exclude", exclude)
        self.scores: dict[str, float] = {}

    def random_baseline(
        self, made: nn.Module, operations: Sequence[Operation], seed: int
    ) -> CutBlocks:
        baseline = copy.copy(self)
        baseline.operations, baseline.criterion, baseline.key = [], RandomBlock(seed), "count"
        removed = next(op for op in operations if isinstance(op, RemovedBlocks))
        baseline.goal = len(removed.remains)
        return baseline

    def named(self, model: nn.Module, image: Tensor | None) -> dict[str, Patterns]:
        assert image is not None
        found, left = removable(model, image.repeat(IMAGES, *[1] * (image.ndim - 1)))
        return {"cut.exclude": (self.exclude, [*found, *left])}

    def check(self, model: nn.Module, image: Tensor) -> None:
        self.number(model, image, self.find(model, image.repeat(IMAGES, *[1] * (image.ndim - 1))))

    def cut(self, model: nn.Module, image: Tensor, calibration: CalibrationData) -> None:
        blocks = self.find(model, calibration.sample(IMAGES)[0])
        self.blocks, self.dense = inside(model, blocks), cost(model, image)
        self.reached = [layer for layers in self.blocks.values() for layer in layers]
        self.scores = self.criterion(model, blocks, calibration)
        order = sorted(blocks, key=lambda name: self.scores[name])
        gone = order[: self.number(model, image, {name: blocks[name] for name in order})]
        done = RemovedBlocks({name: left for name, left in blocks.items() if name in gone})
        done.apply(model)
        self.operations.append(done)

    def promises(self) -> list[Promise]:
        if self.key in ("macs", "params"):
            return [what_is_left(self.key, self.goal, self.dense[self.key])]
        what = f"of the {len(self.blocks)} blocks {some(self.blocks)} gone"
        if self.key == "count":
            return [Promise("count", self.goal, what, self.gone)]
        count, less = len(self.blocks), min(0.5 / len(self.blocks), self.goal / 2)

        def share(model: nn.Module, image: Tensor) -> float:
            return self.gone(model, image) / count

        return [Promise("rate", self.goal, what, share, less, 0.5 / count)]

    def gone(self, model: nn.Module, _: Tensor) -> float:
        """How many blocks have lost layers."""
        left = {name for name, _ in model.named_modules()}
        return sum(not left.issuperset(layers) for layers in self.blocks.values())

    def find(self, model: nn.Module, images: Tensor) -> KeptChildren:
        """What can go; fills ``skipped``."""
        blocks, self.skipped = removable(model, images, self.exclude)
        if not blocks:
            allowed = "a network with residual blocks, or layers that keep the shape"
            raise ConfigError("cut", "CutBlocks", allowed, first_reasons(self.skipped))
        return blocks

    def number(self, model: nn.Module, image: Tensor, blocks: KeptChildren) -> int:
        """How many of the blocks go, the first first."""
        if self.key == "rate":
            rounded = round(self.goal * len(blocks))
            if self.goal and not rounded:
                allowed = f"more than {0.5 / len(blocks):.3g}, or it is none"
                raise ConfigError("cut.rate", self.goal, allowed, f"{len(blocks)} blocks can go")
            return rounded
        if self.key == "count":
            if self.goal > len(blocks):
                allowed = f"at most {len(blocks)}, the blocks that can go: {', '.join(blocks)}"
                raise ConfigError("cut.count", self.goal, allowed)
            return int(self.goal)
        dense = cost(model, image)[self.key]

        def left(count: int) -> float:
            return cost(without(model, dict(list(blocks.items())[:count])), image)[self.key] / dense

        least = fewest(lambda count: left(count) <= self.goal, len(blocks))
        if least is None:
            raise unreachable(self.key, self.goal, left(len(blocks)))
        return least


def inside(model: nn.Module, blocks: KeptChildren) -> dict[str, list[str]]:
    """The weighted layers that would go with each block."""
    return {
        name: [
            inner
            for inner, layer in model.named_modules()
            if isinstance(layer, WEIGHTED)
            and f"{inner}.".startswith(f"{name}.")
            and inner.removeprefix(f"{name}.").split(".")[0] not in left
        ]
        for name, left in blocks.items()
    }


def cost(model: nn.Module, image: Tensor) -> dict[str, int]:
    """{macs, params, …} of one image."""
    return compute(model, image) | size(model)


def without(model: nn.Module, blocks: KeptChildren) -> nn.Module:
    """A copy without these blocks."""
    copied = copy.deepcopy(model)
    RemovedBlocks(blocks).apply(copied)
    return copied
