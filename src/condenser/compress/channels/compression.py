"""Channels, neurons and filters that are really gone: a smaller dense network."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from condenser.compress.base import CalibrationData, Operation, Patterns
from condenser.compress.channels.base import Structural, first_reasons
from condenser.compress.channels.cost_model import Cost
from condenser.compress.channels.dependency_graph import CUTTABLE
from condenser.compress.channels.graph import channel_groups
from condenser.compress.channels.operations import KeptChannels, from_ranges
from condenser.compress.channels.selection import Chooser, Scope, best, fewest
from condenser.compress.channels.targets import check_goal, unreachable
from condenser.compress.groups import Group, Side, channels, removed, zero
from condenser.compress.patterns import listed
from condenser.compress.promises import Promise, some, what_is_left
from condenser.compress.scores.base import Criterion
from condenser.compress.scores.random import Random
from condenser.errors import ConfigError, count
from condenser.functional.pruning import global_threshold


class CutChannels(Structural):
    """Remove the least important channels of every group of coupled layers.

    Outputs and input channels stay. What is asked for is one of ``rate``, ``macs`` and ``params``;
    for the last two the fewest channels go that suffice. The cut network computes what the network
    with those channels at zero computes.

    Args:
        criterion: how much each channel is worth keeping.
        rate: fraction of channels to remove, in [0, 1): of all, or of each group (``scope``).
        macs: fraction of the MACs that may be left, in (0, 1].
        params: fraction of the parameters that may be left, in (0, 1].
        scope: (scores by group, rate) → masks: across all groups, or within each.
        exclude: patterns of layer names whose outputs stay.
        round_to: channels left in a cut group are a multiple of this.
        min_channels: a cut leaves at least so many; null: a rate that empties a layer is refused.
        steps: cut in so many equal steps, with the scores of what is left in between.

    Attributes:
        predicted: {macs, params} computed before the cut.

    Raises:
        ConfigError: a value out of range; not exactly one of rate, macs and params.
    """

    what = "channels"

    def __init__(
        self,
        criterion: Criterion,
        rate: float | None = None,
        macs: float | None = None,
        params: float | None = None,
        scope: Scope = global_threshold,
        exclude: Sequence[str] = (),
        round_to: int = 1,
        min_channels: int | None = None,
        steps: int = 1,
    ) -> None:
        super().__init__()
        self.key, self.goal = check_goal(rate=rate, macs=macs, params=params)
        for name, value in (
            ("round_to", round_to),
            ("min_channels", min_channels),
            ("steps", steps),
        ):
            if value is not None:
                count(f"cut.{name}", value)
        floor = min_channels or (0 if self.key == "rate" else 1)
        self.choose = Chooser(scope, floor, round_to)
        self.criterion, self.steps = criterion, steps
        self.exclude = listed("cut.exclude", exclude)
        self.predicted: dict[str, int] = {}
        self.like: KeptChannels | None = None  # as many of each group as there; which, at random

    def random_baseline(
        self, made: nn.Module, operations: Sequence[Operation], seed: int
    ) -> CutChannels | None:
        like = next((op for op in operations if isinstance(op, KeptChannels)), None)
        if like is None:
            return None
        baseline = copy.copy(self)
        baseline.criterion, baseline.operations, baseline.like = Random(seed), [], like
        return baseline

    def metrics(self) -> Mapping[str, str | float]:
        return {f"predicted_{k}": v for k, v in self.predicted.items()}

    def named(self, model: nn.Module, image: Tensor | None) -> dict[str, Patterns]:
        names = [name for name, layer in model.named_modules() if isinstance(layer, CUTTABLE)]
        return {"cut.exclude": (self.exclude, names)}

    def check(self, model: nn.Module, image: Tensor) -> None:
        groups = self.find(model, image)
        if not groups:
            self.refuse_all(model)
        if self.key == "rate" and self.choose.scope is global_threshold:
            return  # which layers it empties is in the weights
        whole = {group.name: torch.ones(group.size, dtype=torch.bool) for group in groups}
        scores = Random().channels(model, groups, None)
        self.reach(scores, whole, groups, Cost(model, image), 1.0)

    def cut(self, model: nn.Module, image: Tensor, calibration: CalibrationData) -> None:
        groups = self.find(model, image)
        if not groups:
            self.refuse_all(model)
        cost = Cost(model, image)
        self.look(model, groups, cost)
        masks = self.masks(model, groups, cost, calibration)
        self.predicted = cost(groups, masks)
        done = KeptChannels.without(model, removed(groups, masks))
        done.apply(model)
        self.operations.append(done)

    def look(self, model: nn.Module, groups: list[Group], cost: Cost) -> None:
        """Remember what there was: what is left is held against it."""
        self.reached = list(dict.fromkeys(s.layer for group in groups for s in group.slices))
        self.before = cost.dense
        self.groups = {g.name: g.size for g in groups}
        self.sides: dict[Side, tuple[int, int]] = {}  # its width, and how much of it is one channel
        for group in groups:
            part = group.slices[0]
            width = channels(model.get_submodule(part.layer), part.side)
            self.sides[part.layer, part.side] = width, len(part.position) // group.size

    def promises(self) -> list[Promise]:
        if self.like is not None:
            return []
        if self.key != "rate":
            return [what_is_left(self.key, self.goal, self.before[self.key])]
        total, sizes = sum(self.groups.values()), list(self.groups.values())
        across = getattr(self.choose.scope, "func", self.choose.scope) is global_threshold
        rounding = sum(self.choose.round_to / 2 for _ in sizes) if self.choose.round_to > 1 else 0
        rounding += 0.5 if across else 0.5 * len(sizes)
        spared = sum(min(self.choose.floor, size) for size in sizes)  # by cut.min_channels
        what = f"of the {total:,} {self.what} of {some(self.groups)} gone"
        less = min(rounding / total + self.goal * spared / total, self.goal / 2)
        return [Promise("rate", self.goal, what, self.gone, less, rounding / total)]

    def gone(self, model: nn.Module, _: Tensor) -> float:
        """The share of the channels that the layers no longer have."""
        lost = 0.0
        for (name, side), (width, places) in self.sides.items():
            lost += (width - channels(model.get_submodule(name), side)) / places
        return lost / sum(self.groups.values())

    def find(self, model: nn.Module, image: Tensor) -> list[Group]:
        """The groups to cut; fills ``skipped``."""
        groups, self.skipped = channel_groups(model, image, self.exclude)
        return groups

    def masks(
        self, model: nn.Module, groups: list[Group], cost: Cost, calibration: CalibrationData
    ) -> dict[str, Tensor]:
        """What is left of each group. Between steps the criterion sees the channels at zero."""
        if self.like is not None:
            scores = self.criterion.channels(model, groups, calibration)
            return {g.name: best(scores[g.name], remaining(g, self.like)) for g in groups}
        masked = copy.deepcopy(model) if self.steps > 1 else model
        masks = {group.name: torch.ones(group.size, dtype=torch.bool) for group in groups}
        for step in range(1, self.steps + 1):
            scores = self.criterion.channels(masked, groups, calibration)
            masks = self.reach(scores, masks, groups, cost, step / self.steps)
            if step < self.steps:
                zero(masked, removed(groups, masks))
        return masks

    def reach(
        self,
        scores: Mapping[str, Tensor],
        alive: Mapping[str, Tensor],
        groups: list[Group],
        cost: Cost,
        part: float,
    ) -> dict[str, Tensor]:
        """Masks that reach ``part`` of what is asked for; what is gone stays gone."""
        ranked = {n: s.masked_fill(~alive[n], -torch.inf) for n, s in scores.items()}

        def masks(rate: float) -> dict[str, Tensor]:
            return {name: mask & alive[name] for name, mask in self.choose(ranked, rate).items()}

        if self.key == "rate":
            self.refuse_empty(masks(self.goal * part))
            return masks(self.goal * part)
        total = sum(group.size for group in groups)
        most = cost.dense[self.key] * (1 - (1 - self.goal) * part)

        def left(count: int) -> int:
            return cost(groups, masks(count / total))[self.key]

        count = fewest(lambda count: left(count) <= most, total)
        if count is None:
            raise unreachable(self.key, self.goal, left(total) / cost.dense[self.key])
        return masks(count / total)

    def refuse_empty(self, masks: dict[str, Tensor]) -> None:
        empty = ", ".join(name for name, mask in masks.items() if not mask.any())
        if empty:
            allowed = f"a rate that leaves {self.what} in every layer ({empty} would be empty)"
            hint = "set cut.min_channels, or exclude the layer"
            raise ConfigError("cut.rate", self.goal, allowed, hint)

    def refuse_all(self, model: nn.Module) -> None:
        if any(reason.startswith("exclude") for reason in self.skipped.values()):
            allowed = f"patterns that leave {self.what} to cut"
            raise ConfigError("cut.exclude", list(self.exclude), allowed)
        allowed = f"a network with {self.what} that can be cut"
        raise ConfigError("cut", type(model).__name__, allowed, first_reasons(self.skipped))


def remaining(group: Group, cut: KeptChannels) -> int:
    """How many of the group's channels that cut leaves."""
    part = group.slices[0]
    sides = cut.layers.get(part.layer, {})
    if part.side not in sides:
        return group.size
    kept = torch.tensor(from_ranges(sides[part.side]))
    return len(part.channel[torch.isin(part.position, kept)].unique())
