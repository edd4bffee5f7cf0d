"""What stages that make a network smaller and then train it on have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from condenser.errors import ConfigError, DamagedError
from condenser.files import loads, read_bytes
from condenser.pipeline.stages.base import RunContext, StageInputs, StageResult, flat
from condenser.pipeline.stages.pairs import verdict
from condenser.pipeline.stages.training import LABELS, TrainingStage, own
from condenser.store import StageDir

if TYPE_CHECKING:
    from condenser.compress import Compression


class CompressionStage(TrainingStage):
    """Makes the model of the stage before smaller, and trains it on for ``epochs``, maybe 0.

    ``objective``: distill (the distill section's objective), labels, or auto: distill where there
    is a teacher.

    Class attributes:
        baselines: those of ``baselines`` that it has.
    """

    takes_model: ClassVar[bool] = True
    baselines: ClassVar[tuple[str, ...]] = ()

    @property
    def objective(self) -> Mapping[str, Any]:
        asked, trains = self.settings["objective"], self.settings["optim"]["epochs"]
        if not trains or asked == "labels" or (asked == "auto" and not self.teachers):
            return LABELS
        return own(self.config["distill"])

    @property
    def compression(self) -> Mapping[str, Any] | None:
        return own(self.settings)

    @property
    def repair(self) -> dict[str, Any] | None:
        """How the network is repaired without training; None: it is not."""
        asked = self.settings.get("repair") or {}
        return dict(asked) if asked.get("images") else None

    def ingredients(self) -> dict[str, Any]:
        return super().ingredients() | ({"repair": self.repair} if self.repair else {})

    def run(self, ctx: RunContext, inputs: StageInputs, place: StageDir) -> StageResult:
        outcome = super().run(ctx, inputs, place)
        if self.repair is not None:
            facts = self.repaired(ctx, inputs, outcome)
            outcome.metrics |= {f"{self.word}/repair/{key}": fact for key, fact in facts.items()}
        return outcome

    def repaired(
        self, ctx: RunContext, inputs: StageInputs, outcome: StageResult
    ) -> dict[str, float]:
        """Repair the result in place by what the network computed before."""
        from condenser.compress.channels.operations import OpenAttention
        from condenser.compress.repair import Repair, repair

        assert inputs.source is not None
        assert self.repair is not None
        spec, before = inputs.source.load(ctx.trusted)
        made = outcome.spec.operations[len(spec.operations) :]
        for operation in made:
            if isinstance(operation, OpenAttention):  # the same function, in layers of their own
                operation.apply(before)
        how = Repair(**self.repair)
        images = ctx.data.calibration(min(how.images, ctx.data.train_size))
        model, constraints = outcome.model, outcome.spec.constraints(outcome.model)
        return repair(model, before, images, outcome.spec.operations, constraints, how, made)

    def check(self, ctx: RunContext) -> None:
        super().check(ctx)
        if self.repair is not None and self.epochs:
            key, allowed = f"{self.word}.repair.images", f"0 where {self.word} trains on"
            hint = f"{self.word}.epochs=0 does not"
            raise ConfigError(key, self.repair["images"], allowed, hint)
        self.refuse_useless(ctx)
        if self.compression is not None:
            self.refuse_computed(ctx)
        if any(stage.kind == "rebuilds" for stage in self.chain):
            return  # the shapes that this one will meet are not known yet
        if self.compression is not None:
            built = ctx.build(self.compression)
            built.check(self.example(ctx), ctx.data.example(1))

    def refuse_computed(self, ctx: RunContext) -> None:
        """ConfigError for layers that are not excluded and whose weight is no parameter."""
        from condenser.compress import computed
        from condenser.compress.patterns import listed

        exclude = listed(f"{self.word}.exclude", self.settings.get("exclude") or [])
        if layers := computed(self.example(ctx), exclude):
            made = "whose weight is made of others (weight_norm, a parametrisation)"
            allowed = f"a list with the layers {made}: {', '.join(layers)}"
            raise ConfigError(f"{self.word}.exclude", exclude, allowed)

    def refuse_useless(self, ctx: RunContext) -> None:
        """ConfigError for patterns that match no layer, and for training that there is none of."""
        if self.compression is None:
            return
        built = ctx.build(self.compression)
        if built.by_training and not self.settings["optim"]["epochs"]:
            allowed = f"at least 1 with {type(built).__name__}, which works while it trains"
            raise ConfigError(f"{self.word}.epochs", 0, allowed)
        self.refuse_claimed(ctx, built)
        parts = tuple(part for stage in self.chain for part in stage.parts)
        built.refuse_unmatched(self.example(ctx), ctx.data.example(1), parts)

    def refuse_claimed(self, ctx: RunContext, built: Compression) -> None:
        """ConfigError where all layers that it could take are an earlier stage's."""
        model = self.example(ctx)
        claimed: dict[str, str] = {}
        for stage in self.chain:
            if isinstance(stage, CompressionStage) and verdict(stage.row, self.row) == "apart":
                assert stage.compression is not None
                names = ctx.build(stage.compression).claims(model)
                claimed |= dict.fromkeys(names, stage.word)
        own = built.claims(model) if claimed else []
        if own and claimed.keys() >= set(own):
            words = " and ".join(dict.fromkeys(claimed[name] for name in own))
            allowed = f"before {words}, or for layers that {words} leaves alone ({words}.exclude)"
            raise ConfigError(f"recipe.stages[{self.position}]", self.word, allowed)

    def described(self) -> dict[str, Any]:
        learnt = flat("distill", self.objective) if self.uses_teacher else ()
        found = super().described() | dict(learnt)
        if self.repair is not None:
            return found
        return {k: v for k, v in found.items() if not k.startswith(f"{self.word}/repair/")}


class Prune(CompressionStage):
    """Prunes the weights of the model of the stage before."""

    word: ClassVar[str] = "prune"
    variants: ClassVar[Mapping[str, str]] = {"rewind": "rewind", "regrow": "regrow"}
    color: ClassVar[str] = "#d55e00"
    marker: ClassVar[str] = "v"
    kind: ClassVar[str] = "masks"
    baselines: ClassVar[tuple[str, ...]] = ("random", "scratch", "dense")

    @property
    def compression(self) -> Mapping[str, Any] | None:
        method = own(self.settings)
        scope = method.get("scope")
        if isinstance(scope, Mapping) and isinstance(scope.get("rates"), str):
            method["scope"] = {**scope, "rates": analysed(scope["rates"])}
        return method

    def run(self, ctx: RunContext, inputs: StageInputs, place: StageDir) -> StageResult:
        from condenser import measure

        outcome = super().run(ctx, inputs, place)
        found = measure.size(outcome.model)
        outcome.metrics["prune/achieved_of_all"] = 1 - found["nonzero"] / found["params"]
        return outcome


def analysed(path: str) -> dict[str, float]:
    """The rates that a sensitivity analysis found, by layer.

    Raises:
        ConfigError: it is no file that src/sensitivity.py wrote.
    """
    try:
        return dict(loads(read_bytes(Path(path)))["rates"])
    except (OSError, DamagedError, ValueError, KeyError, TypeError) as error:
        allowed = "rates by layer, or the sensitivity.json that src/sensitivity.py wrote"
        raise ConfigError("prune.scope.rates", path, allowed) from error


class Cut(CompressionStage):
    """Removes structure of the model of the stage before; what is left is a smaller dense model."""

    word: ClassVar[str] = "cut"
    color: ClassVar[str] = "#7a5195"
    marker: ClassVar[str] = "h"
    kind: ClassVar[str] = "rebuilds"
    baselines: ClassVar[tuple[str, ...]] = ("random", "scratch", "compute", "dense")


class Merge(CompressionStage):
    """Merges what is alike in the model of the stage before, its function kept as far as can be."""

    word: ClassVar[str] = "merge"
    color: ClassVar[str] = "#8c564b"
    marker: ClassVar[str] = "<"
    kind: ClassVar[str] = "rebuilds"
    baselines: ClassVar[tuple[str, ...]] = ("random", "scratch", "compute", "dense")


class Factorize(CompressionStage):
    """Replaces layers of the model of the stage before by low-rank products."""

    word: ClassVar[str] = "factorize"
    color: ClassVar[str] = "#b8a500"
    marker: ClassVar[str] = "P"
    kind: ClassVar[str] = "rebuilds"
    baselines: ClassVar[tuple[str, ...]] = ("scratch", "compute", "dense")
    parts: ClassVar[tuple[str, ...]] = ("reduce", "core", "expand", "vertical", "horizontal")


class Share(CompressionStage):
    """Clusters the weights of the model of the stage before and trains the codebook on."""

    word: ClassVar[str] = "share"
    variants: ClassVar[Mapping[str, str]] = {"across": "across"}
    color: ClassVar[str] = "#cc79a7"
    marker: ClassVar[str] = "^"
    kind: ClassVar[str] = "codes"
    baselines: ClassVar[tuple[str, ...]] = ("dense",)


class Quantize(CompressionStage):
    """Rounds the model of the stage before, with ranges calibrated on training images.

    The result is the simulated network: it computes, in float, what the integer file computes.
    ``export`` writes that file.
    """

    word: ClassVar[str] = "quantize"
    variants: ClassVar[Mapping[str, str]] = {"budget": "mixed"}
    color: ClassVar[str] = "#009e73"
    marker: ClassVar[str] = "X"
    kind: ClassVar[str] = "codes"
    baselines: ClassVar[tuple[str, ...]] = ("dense",)

    def check(self, ctx: RunContext) -> None:
        super().check(ctx)
        assert self.compression is not None
        epochs, built = self.settings["optim"]["epochs"], ctx.build(self.compression)
        if epochs and not built.trains:
            allowed = f"0 with {type(built).__name__}, which rounds what was trained"
            raise ConfigError("quantize.epochs", epochs, allowed, "quantize=lsq trains")


class Tune(CompressionStage):
    """Trains the model of the stage before on; what earlier stages made of it is kept.

    In a recipe, ``{tune: {}, times: 5, until: 0.98}`` trains until validation is content.
    """

    word: ClassVar[str] = "tune"
    color: ClassVar[str] = "#b03060"
    marker: ClassVar[str] = "p"

    @property
    def compression(self) -> Mapping[str, Any] | None:
        return None
