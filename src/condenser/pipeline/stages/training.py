"""What stages that train have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from condenser.errors import ConfigError
from condenser.pipeline.stages.base import RunContext, Stage, StageInputs, StageResult
from condenser.pipeline.stages.steps import (
    BATCHES,
    callbacks,
    refuse_optimizer,
    refuse_steps,
    stepping,
)
from condenser.store import Entry, StageDir

if TYPE_CHECKING:
    from torch import Tensor, nn

    from condenser.checkpoint.model_spec import ModelSpec
    from condenser.compress import CalibrationData, Compression
    from condenser.distill import Objective
    from condenser.training.fit import Fit
    from condenser.training.plan import Plan
    from condenser.training.student import Student

LABELS = {"_target_": "condenser.distill.Labels"}
LATER = (("divergence", "forward"),)  # settings that came later: their defaults change no key
AROUND = (  # not the method's own
    *("epochs", "optim", "objective", "teachers"),
    *("ensemble", "model", "inherit", "repair"),
)


@dataclass(frozen=True)
class Training:
    """A network about to be trained, and what it is trained with."""

    model: nn.Module
    spec: ModelSpec
    compression: Compression | None
    inputs: StageInputs
    place: StageDir


class TrainingStage(Stage):
    """Trains a network: a fresh one, or the one of the stage before."""

    trains: ClassVar[bool] = True

    @property
    def objective(self) -> Mapping[str, Any]:
        """What it learns from, as a config."""
        return LABELS

    @property
    def uses_teacher(self) -> bool:
        return self.objective is not LABELS

    @property
    def compression(self) -> Mapping[str, Any] | None:
        """What makes the network smaller while it trains, as a config."""
        return None

    @property
    def epochs(self) -> int:
        """Of its training; 0: it does not train."""
        return int(self.settings["optim"]["epochs"])

    @property
    def ensemble(self) -> str | list[float]:
        """How several teachers are one."""
        return self.settings.get("ensemble", "mean")

    @property
    def cache(self) -> Mapping[str, Any]:
        """How a teacher's outputs are kept."""
        return self.config["teacher"]["cache"]

    @property
    def stepping(self) -> dict[str, Any]:
        """What of the trainer's settings changes the steps, where it does."""
        return stepping(self.config["trainer"])

    def ingredients(self) -> dict[str, Any]:
        several = {"ensemble": self.ensemble} if len(self.teachers) > 1 else {}
        rounded = {"cache": self.cache["logits"]} if self.cache["logits"] != "float32" else {}
        compared, stepping = self.config["teacher"]["cka"], self.stepping
        rounded |= {"cka": compared} if compared != "penultimate" else {}
        return {
            "architecture": self.architecture and nameless(self.architecture),
            "optim": self.settings["optim"],
            "objective": {k: v for k, v in self.objective.items() if (k, v) not in LATER},
            "compression": self.compression,
            **({"trainer": stepping} if stepping else {}),
        } | (several | rounded if self.uses_teacher else {})

    def check(self, ctx: RunContext) -> None:
        objective(self.objective, ctx)
        refuse_optimizer(self, ctx)
        if isinstance(self.ensemble, list) and len(self.ensemble) != len(self.teachers):
            allowed = f"a weight for each of its {len(self.teachers)} teachers"
            raise ConfigError(f"{self.word}.ensemble", self.ensemble, allowed)
        if self.compression is not None:
            self.try_compression(ctx)
        refuse_steps(self, ctx)
        if self.architecture is not None:
            self.example(ctx)

    def try_compression(self, ctx: RunContext) -> None:
        """ConfigError where something else is built."""
        from condenser.compress import Compression

        assert self.compression is not None
        if not isinstance(ctx.build(self.compression), Compression):
            asked = self.compression["_target_"]
            raise ConfigError(f"{self.word}._target_", asked, "a condenser.compress.Compression")

    def run(self, ctx: RunContext, inputs: StageInputs, place: StageDir) -> StageResult:
        import torch

        from condenser import measure
        from condenser.compress.left_alone import metrics as left_alone
        from condenser.compress.left_alone import weights_of

        torch.manual_seed(self.first)
        spec, model = self.start(ctx, inputs)
        metrics = self.inherit(ctx, model, inputs.teachers)
        compression = self.compressor(ctx, inputs)
        if compression is not None:
            weights, total = weights_of(model), measure.size(model)["params"]
            compression.prepare(model, self.calibration(ctx, spec))
            left = left_alone(weights, compression, total)
            metrics |= {f"{self.word}/{key}": fact for key, fact in left.items()}
        best, last = model.state_dict(), None
        epochs = self.plan(ctx, inputs).epochs
        if compression is not None and not epochs:
            compression.at_once()
        elif epochs:
            done = self.train(ctx, Training(model, spec, compression, inputs, place))
            metrics |= {**done.costs(), **done.metrics}
            best, last = done.best, done.last if done.best_epoch < done.epochs else None
        if compression is not None:
            best = compression.kept(model, best)
            last = last and compression.kept(model, last)
            spec = spec.then(compression.finish())
            metrics |= {f"{self.word}/{key}": fact for key, fact in compression.metrics().items()}
        outcome = StageResult(spec, revive(spec, best, ctx), metrics)
        if compression is not None:
            outcome.promises = compression.promises()
        if last is not None:
            outcome.last = revive(spec, last, ctx)
        return outcome

    def compressor(self, ctx: RunContext, inputs: StageInputs) -> Compression | None:
        """What makes the network smaller, before it looks at it."""
        return ctx.build(self.compression) if self.compression is not None else None

    def train(self, ctx: RunContext, training: Training) -> Fit:
        """Fit the network; what earlier stages made of it is held."""
        from condenser.training.distributed.strategies import whole
        from condenser.training.fit import fit
        from condenser.training.progress import Progress
        from condenser.training.resume import Resume

        module = self.module(ctx, training)
        module.constraints = training.spec.constraints(training.model)
        if ctx.compile:
            training.model.compile()
        ctx.data.batch_size, ctx.data.seed = module.plan.batch_size, self.seed
        resume = Resume(training.place.checkpoint, ctx.checkpoint_seconds, ctx.warn)
        trainer = ctx.trainer
        if training.compression is not None or module.constraints:  # they look at whole tensors
            trainer = whole(trainer)
        progress = ctx.progress and Progress(self.label.partition("-")[2], ctx.progress)
        own, limit = callbacks(self.stepping, ctx), self.stepping.get("max_time")
        kept = None if own or limit else resume  # their state is not ours to restore
        return fit(module, trainer, ctx.loggers(self.label), progress, kept, own, limit)

    def start(self, ctx: RunContext, inputs: StageInputs) -> tuple[ModelSpec, nn.Module]:
        """The network before its first step."""
        if self.architecture is not None:
            spec = self.spec(ctx)
            return spec, spec.build(ctx.trusted)
        assert inputs.source is not None
        return inputs.source.load(ctx.trusted)

    def example(self, ctx: RunContext) -> nn.Module:
        if self.architecture is None:
            return super().example(ctx)
        return self.spec(ctx).build(ctx.trusted)

    def inherit(
        self, ctx: RunContext, model: nn.Module, teachers: Sequence[Entry]
    ) -> dict[str, Any]:
        """Take parameters over from a teacher, in place; facts about that."""
        return {}

    def calibration(self, ctx: RunContext, spec: ModelSpec) -> CalibrationData:
        """What a compression may look at besides the model."""
        import torch

        from condenser.compress import CalibrationData

        def origin() -> dict[str, Tensor]:
            torch.manual_seed(self.chain[0].first)
            return replace(spec, operations=()).build(ctx.trusted).state_dict()

        def in_parts(count: int) -> Iterator[tuple[Tensor, Tensor]]:
            return ctx.data.in_parts(min(count, ctx.data.train_size))

        return CalibrationData(in_parts, ctx.data.task.loss, origin, spec.operations)

    def spec(self, ctx: RunContext) -> ModelSpec:
        from condenser.checkpoint.model_spec import ModelSpec

        assert self.architecture is not None
        data = ctx.data
        return ModelSpec(
            nameless(self.architecture),
            data.input_shape,
            data.num_classes,
            normalisation=(data.mean, data.std) if data.vocabulary is None else None,
            vocabulary=data.vocabulary,
        )

    def module(self, ctx: RunContext, training: Training) -> Student:
        """The Lightning module: a Distillation where there is a teacher to learn from."""
        from condenser.training.distillation import Distillation
        from condenser.training.student import Student
        from condenser.training.teacher_cache import Cache

        inputs, objective = training.inputs, ctx.build(self.objective)
        common = (training.model, self.plan(ctx, inputs), ctx.data, objective, training.compression)
        if not objective.needs_teacher:
            return Student(*common, seed=self.seed)
        return Distillation(
            *common,
            seed=self.seed,
            teacher=self.frozen(ctx, inputs.teachers),
            cache=Cache(**self.cache),
            cache_dir=training.place.cache_dir,
            warn=ctx.warn,
        )

    def frozen(self, ctx: RunContext, teachers: Sequence[Entry]) -> nn.Module:
        """The teacher, or several as one."""
        from condenser.distill.ensemble import ensemble

        models = [entry.load(ctx.trusted)[1] for entry in teachers]
        return models[0] if len(models) == 1 else ensemble(models, self.ensemble, ctx.data)

    def plan(self, ctx: RunContext, inputs: StageInputs | None = None) -> Plan:
        """How long and with what it trains; ``given`` once the models are there."""
        from condenser.training.plan import Plan

        settings = self.settings["optim"]
        built = {key: ctx.build(settings[key]) for key in ("optimizer", "schedule")}
        own = self.stepping
        steps = {"clip": own.get("gradient_clip_val"), "accumulate": own.get(BATCHES, 1)}
        return Plan(**{**settings, **built, **steps})


def own(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section's method: what is left without the training around it."""
    return {key: value for key, value in section.items() if key not in AROUND}


def objective(config: Mapping[str, Any], ctx: RunContext) -> Objective:
    """The objective, told what the data ask for; it refuses what has no meaning for it."""
    from condenser.distill import Objective

    built = ctx.build(config)
    if not isinstance(built, Objective):
        raise ConfigError("distill._target_", config["_target_"], "a condenser.distill.Objective")
    built.setup(ctx.data.weighted_task, ctx.data.targets)
    built.refuse(ctx.data.mix)
    built.require(ctx.data.strong)
    return built


def nameless(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """The architecture without the name it goes by, which changes nothing."""
    return {key: value for key, value in architecture.items() if key != "name"}


def revive(spec: ModelSpec, state: dict[str, Any], ctx: RunContext) -> nn.Module:
    """A fresh network with these weights, in eval mode; a zero that a mask left negative is one."""
    from condenser.models import weights

    model = spec.build(ctx.trusted)
    weights.fill(model, {name: weights.plain_zero(tensor) for name, tensor in state.items()})
    return model.eval()
