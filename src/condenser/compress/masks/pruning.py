"""Weight pruning on a schedule during training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from condenser.compress import pruned
from condenser.compress.base import CalibrationData, Compression, Operation, Patterns, State
from condenser.compress.masks.granularity import Granularity, Weight
from condenser.compress.masks.per_layer import PerLayerRates, agreed_rate
from condenser.compress.masks.regrowth import regrown
from condenser.compress.masks.rewinding import restart
from condenser.compress.masks.sparse import Masks, Sparse, prunable, sparsity, weighted
from condenser.compress.patterns import listed
from condenser.compress.promises import Promise
from condenser.compress.pruned import fallen
from condenser.compress.scores.base import Criterion, Plain
from condenser.compress.scores.random import Random
from condenser.errors import ConfigError, below_one
from condenser.functional.pruning import Scope, global_threshold
from condenser.functional.schedules import cosine, cubic


class WeightPruning(Compression):
    """Drop the least important weights until ``rate`` of them are zero.

    The zeros grow from what the model already has to ``rate`` as
    s(p) = s₀ + (rate - s₀)·schedule(p / until), in ``updates`` equal moves, and are held at zero
    in between. A dropped weight scores lowest from then on, so that only regrowth brings it back;
    zeros of earlier stages never come back. Where weights fall in groups, s counts those of whole
    groups. Layers that the criterion cannot score or the granularity has no groups in are left
    alone, and the rate does not count them.

    Args:
        rate: fraction of zeros among the weights at the end, in [0, 1); None where scope
            (``PerLayerRates``) or granularity (``NofM``) say it.
        criterion: scores of weights; a function (layer name, weight) → scores is one too.
        granularity: which weights fall together.
        scope: scores by layer, rate → masks: across all layers, within each, at given rates.
        schedule: [0, 1] → [0, 1].
        until: part of training after which the zeros are fixed, in [0, 1); the rest fine-tunes.
        updates: how many times the masks move.
        rewind: what is left starts again from the first weights of all, before any training, biases
            and batch norms too: a lottery ticket. For ``until=0`` alone. A round is a stage.
        regrow: each move, this fraction of a layer's kept weights, falling to 0 as a half cosine at
            ``until``, makes room for as many dropped ones: the smallest go, those with the largest
            gradient come, from zero. In [0, 1).
        exclude: patterns of names of layers that are left alone; a module's name is all it holds.

    Raises:
        ConfigError: rate, until or regrow out of range, or at odds with other settings; in
            ``prepare``, no layer to prune, a rate that would empty one, data wanted and not there.

    Sources: Zhu, Gupta, "To prune, or not to prune", 2017, https://arxiv.org/abs/1710.01878;
    Frankle, Carbin, "The Lottery Ticket Hypothesis", 2019, https://arxiv.org/abs/1803.03635; Evci,
    Gale, Menick, Castro, Elsen, "Rigging the Lottery", 2020, https://arxiv.org/abs/1911.11134
    """

    def __init__(
        self,
        rate: float | None,
        criterion: Criterion | Callable[[str, nn.Parameter], Tensor],
        granularity: Granularity | None = None,
        scope: Scope = global_threshold,
        schedule: Callable[[float], float] = cubic,
        until: float = 0.5,
        updates: int = 20,
        rewind: bool = False,
        regrow: float = 0.0,
        exclude: Sequence[str] = (),
    ) -> None:
        for key, value in {"rate": rate or 0, "until": until, "regrow": regrow}.items():
            below_one(f"prune.{key}", value)
        self.criterion = criterion if isinstance(criterion, Criterion) else Plain(criterion)
        self.granularity, self.scope, self.schedule = granularity or Weight(), scope, schedule
        self.until, self.updates = until, max(updates, 1)
        self.exclude = listed("prune.exclude", exclude)
        self.rewind, self.regrow, self.moves = rewind, regrow, -1
        self.by_training = regrow > 0
        self.rate = agreed_rate(rate, self.scope, self.granularity)
        if rewind and until:
            raise ConfigError("prune.until", until, "0 where prune.rewind is true")
        if regrow and (not until or type(self.granularity) is not Weight):
            raise ConfigError("prune.regrow", regrow, "0 with prune.until=0 or groups of weights")

    def named(self, model: nn.Module, image: Tensor | None) -> dict[str, Patterns]:
        found: dict[str, Patterns] = {
            "prune.exclude": (self.exclude, [name for name, _ in weighted(model)])
        }
        if isinstance(self.scope, PerLayerRates):
            found["prune.scope.rates"] = (list(self.scope.rates), list(self._select(model)))
        return found

    def claims(self, model: nn.Module) -> list[str]:
        return [name for name in self._select(model) if self._asks(name)]

    @torch.no_grad()
    def check(self, model: nn.Module, image: Tensor) -> None:
        self._select(model)
        if self.across:
            return  # which layers it empties is in the weights
        tried = copy.copy(self)
        tried.criterion, tried.rewind = Random(), False
        tried.prepare(model)

    def prepare(self, model: nn.Module, calibration: CalibrationData | None = None) -> None:
        if calibration is None and self.criterion.needs_data:
            allowed = "one that needs no data, as Magnitude does, where there is none"
            raise ConfigError("prune.criterion", type(self.criterion).__name__, allowed)
        if calibration is None and self.rewind:
            raise ConfigError("prune.rewind", "true", "false where the first weights are not known")
        if calibration is None or not calibration.operations:
            self.refuse_unmatched(model, None)
        self.weights = self._select(model)
        self.modules = {name: model.get_submodule(name) for name in self.weights}
        self.moves, self.alive = -1, [w.detach() != 0 for w in self.weights.values()]
        self.masks = self._held(self.alive)
        self.reached = [name for name in self.weights if self._asks(name)]
        self.skipped = self._left(model)
        self.start = fallen(self.modules, self.granularity)
        own = {name: self.modules[name] for name in self.reached}
        self.before = fallen(own, self.granularity)
        self.criterion.prepare(model, self.weights, calibration)
        self._choose(1.0)  # what must fail fails before training
        self._move(0.0)
        if self.rewind:
            assert calibration is not None
            restart(model, calibration.origin())
        if not self.regrow:  # else earlier stages would hold, as theirs, what is zero now
            self.masks.apply()

    def step(self, progress: float) -> None:
        if not self.ready:
            self.criterion.update()
            self._move(progress)
        self.masks.apply()

    def at_once(self) -> None:
        self._move(1.0)
        self.masks.apply()

    @property
    def ready(self) -> bool:
        return self.moves >= self.updates

    def state(self) -> State:
        masks = zip(self.weights, self.masks.floats, strict=True)
        scored = {f"criterion/{key}": t for key, t in self.criterion.state().items()}
        kept = {f"mask/{name}": mask for name, mask in masks}
        return kept | scored | {"moves": torch.tensor(self.moves)}

    def restore(self, state: State) -> None:
        self.moves = int(state["moves"])
        self.masks = self._held([state[f"mask/{name}"] for name in self.weights])
        prefix = "criterion/"
        scored = {k.removeprefix(prefix): t for k, t in state.items() if k.startswith(prefix)}
        self.criterion.restore(scored)

    def finish(self) -> list[Operation]:
        return [Sparse(list(self.reached or ()))]

    def random_baseline(
        self, made: nn.Module, operations: Sequence[Operation], seed: int
    ) -> WeightPruning | None:
        pruned = [name for op in operations if isinstance(op, Sparse) for name in op.layers]
        baseline = copy.copy(self)
        baseline.criterion = Random(seed)
        if self.granularity.rate is None:
            weights = prunable(made)
            baseline.scope = PerLayerRates(
                {name: sparsity({name: weights[name]}) for name in pruned}
            )
            baseline.rate = 1.0
        return baseline

    def promises(self) -> list[Promise]:
        return pruned.promises(self)

    @property
    def across(self) -> bool:
        return getattr(self.scope, "func", self.scope) is global_threshold

    def _asks(self, name: str) -> bool:
        return not isinstance(self.scope, PerLayerRates) or self.scope.rate(name) > 0

    def _left(self, model: nn.Module) -> dict[str, str]:
        """Layers that could be pruned and are not, exclude aside → why."""
        kinds = f"{type(self.granularity).__name__} by {type(self.criterion).__name__}"
        names = [name for name in prunable(model, self.exclude) if name not in (self.reached or ())]
        return {
            name: "no rate is given for it" if name in self.weights else f"{kinds} does not take it"
            for name in names
        }

    def _held(self, masks: Sequence[Tensor]) -> Masks:
        return Masks(list(self.weights.values()), masks)

    def _select(self, model: nn.Module) -> dict[str, nn.Parameter]:
        weights = prunable(model, self.exclude)
        if not weights:
            raise ConfigError("prune.exclude", self.exclude, "patterns that leave a layer to prune")
        layers = self.criterion.select(model, self.granularity.select(model, list(weights)))
        return {name: weights[name] for name in layers}

    def _move(self, progress: float) -> None:
        """Choose masks anew if it is time."""
        moves = self.updates
        if progress < self.until:
            moves = int(progress / self.until * self.updates)
        if moves <= self.moves:
            return
        masks = self._choose(self.schedule(moves / self.updates))
        if self.regrow and self.moves >= 0:  # a gradient is there
            self.masks.apply()
            share = self.regrow * cosine(moves / self.updates)
            masks = regrown(list(self.weights.values()), masks, self.alive, share)
        self.moves = moves
        self.masks = self._held(masks)

    @torch.no_grad()
    def _choose(self, share: float) -> list[Tensor]:
        """Masks at ``share`` of the way to the rate."""
        kept = dict(zip(self.weights, self.masks.kept(), strict=True))
        scores = {
            name: self.granularity.groups(self.modules[name], self.criterion(name, w), kept[name])
            for name, w in self.weights.items()
        }
        shapes = {name: w.shape for name, w in self.weights.items()}
        chosen = self.scope(scores, self._rate(share), shapes)
        masks = {name: mask & chosen[name] for name, mask in kept.items()}  # a group's 1 is all
        empty = [name for name, mask in masks.items() if not mask.any()]
        if empty:
            emptied = f"{', '.join(empty)} would be empty"
            allowed = f"a rate that leaves weights in every layer ({emptied})"
            hint = "exclude the layer, or take prune=magnitude_per_layer"
            raise ConfigError("prune.rate", self.rate, allowed, hint)
        return list(masks.values())

    def _rate(self, share: float) -> float:
        if isinstance(self.scope, PerLayerRates):
            return share
        return self.start + (self.rate - self.start) * share
