"""What stages that make a network smaller and then train it on have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from condenser.errors import ConfigError
from condenser.pipeline.stages.base import RunContext, flat
from condenser.pipeline.stages.pairs import verdict
from condenser.pipeline.stages.training import LABELS, TrainingStage, own

if TYPE_CHECKING:
    from condenser.compress import Compression

FACTORS = ("reduce", "core", "expand", "vertical", "horizontal")  # of a layer, factorised


class CompressionStage(TrainingStage):
    """Makes the model of the stage before smaller, and trains it on for ``epochs``, maybe 0.

    ``objective``: distill (the distill section's objective), labels, or auto: distill where there
    is a teacher.
    """

    takes_model: ClassVar[bool] = True

    @property
    def objective(self) -> Mapping[str, Any]:
        asked, trains = self.settings["objective"], self.settings["optim"]["epochs"]
        if not trains or asked == "labels" or (asked == "auto" and not self.teachers):
            return LABELS
        return own(self.config["distill"])

    @property
    def compression(self) -> Mapping[str, Any] | None:
        return own(self.settings)

    def check(self, ctx: RunContext) -> None:
        super().check(ctx)
        self.refuse_useless(ctx)
        if self.compression is not None:
            self.refuse_computed(ctx)
        if any(stage.word in ("cut", "merge", "factorize") for stage in self.chain):
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
        built, words = ctx.build(self.compression), [stage.word for stage in self.chain]
        if built.by_training and not self.settings["optim"]["epochs"]:
            allowed = f"at least 1 with {type(built).__name__}, which works while it trains"
            raise ConfigError(f"{self.word}.epochs", 0, allowed)
        self.refuse_claimed(ctx, built)
        parts = FACTORS if "factorize" in words else ()
        built.refuse_unmatched(self.example(ctx), ctx.data.example(1), parts)

    def refuse_claimed(self, ctx: RunContext, built: Compression) -> None:
        """ConfigError where all layers that it could take are an earlier stage's."""
        model = self.example(ctx)
        claimed: dict[str, str] = {}
        for stage in self.chain:
            if isinstance(stage, CompressionStage) and verdict(stage.kind, self.kind) == "apart":
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
        return super().described() | dict(learnt)
