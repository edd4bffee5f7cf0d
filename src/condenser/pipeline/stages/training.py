"""What stages that train have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from condenser.errors import CondenserError, ConfigError
from condenser.pipeline.stages.base import Given, Outcome, Stage, Workbench
from condenser.training.distributed import strategies

if TYPE_CHECKING:
    from torch import Tensor, nn

    from condenser.checkpoint.model_spec import Blueprint
    from condenser.compress import Compression, Probe
    from condenser.distill import Objective
    from condenser.store import Entry, Place
    from condenser.training import Plan, Student
    from condenser.training.fit import Fit

LABELS = {"_target_": "condenser.distill.Labels"}
AROUND = ("optim", "objective", "teachers", "vote", "model", "inherit")  # not the method's own


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
    def vote(self) -> str | list[float]:
        """How several teachers are one."""
        return self.settings.get("vote", "mean")

    @property
    def cache(self) -> Mapping[str, Any]:
        """How a teacher's outputs are kept."""
        return self.config["teacher"]["cache"]

    def ingredients(self) -> dict[str, Any]:
        several = {"vote": self.vote} if len(self.teachers) > 1 else {}
        rounded = {"cache": self.cache["logits"]} if self.cache["logits"] != "float32" else {}
        compared = self.config["teacher"]["cka"]
        rounded |= {"cka": compared} if compared != "penultimate" else {}
        return {
            "architecture": self.architecture and nameless(self.architecture),
            "optim": self.settings["optim"],
            "objective": dict(self.objective),
            "compression": self.compression,
        } | (several | rounded if self.uses_teacher else {})

    def check(self, bench: Workbench) -> None:
        objective(self.objective, bench)
        self.try_optimizer(bench)
        if isinstance(self.vote, list) and len(self.vote) != len(self.teachers):
            allowed = f"a weight for each of its {len(self.teachers)} teachers"
            raise ConfigError(f"{self.word}.vote", self.vote, allowed)
        if self.compression is not None:
            self.try_compression(bench)
        if self.architecture is not None:
            self.example(bench)

    def try_optimizer(self, bench: Workbench) -> None:
        """ConfigError where the optimiser refuses its settings."""
        settings = self.settings["optim"]
        try:
            self.plan(bench).optimizer([zero()], lr=settings["lr"])
        except (TypeError, ValueError) as error:
            if isinstance(error, CondenserError):
                raise
            asked = settings["optimizer"]["_target_"]
            allowed = "an optimiser that takes its settings"
            raise ConfigError(f"{self.word}.optim.optimizer", asked, allowed, str(error)) from error

    def try_compression(self, bench: Workbench) -> None:
        """ConfigError where something else is built."""
        from condenser.compress import Compression

        assert self.compression is not None
        if not isinstance(bench.build(self.compression), Compression):
            asked = self.compression["_target_"]
            raise ConfigError(f"{self.word}._target_", asked, "a condenser.compress.Compression")

    def run(self, bench: Workbench, given: Given, place: Place) -> Outcome:
        import torch

        from condenser import measure
        from condenser.compress.left_alone import facts as left_alone
        from condenser.compress.left_alone import weights_of

        torch.manual_seed(self.first)
        blueprint, model = self.start(bench, given)
        facts = self.inherit(bench, model, given.teachers)
        compression = self.compressor(bench, given)
        if compression is not None:
            weights, total = weights_of(model), measure.size(model)["params"]
            compression.prepare(model, self.probe(bench, blueprint))
            left = left_alone(weights, compression, total)
            facts |= {f"{self.word}/{key}": fact for key, fact in left.items()}
        best, last = model.state_dict(), None
        if compression is not None and not self.settings["optim"]["epochs"]:
            compression.at_once()
        elif self.settings["optim"]["epochs"]:
            done = self.train(bench, model, blueprint, compression, given, place)
            facts |= {**done.costs(), **done.facts}
            best, last = done.best, done.last if done.best_epoch < done.epochs else None
        if compression is not None:
            best = compression.kept(model, best)
            last = last and compression.kept(model, last)
            blueprint = blueprint.then(compression.finish())
            facts |= {f"{self.word}/{key}": fact for key, fact in compression.facts().items()}
        outcome = Outcome(blueprint, revive(blueprint, best, bench), facts)
        if compression is not None:
            outcome.promises = compression.promises()
        if last is not None:
            outcome.last = revive(blueprint, last, bench)
        return outcome

    def compressor(self, bench: Workbench, given: Given) -> Compression | None:
        """What makes the network smaller, before it looks at it."""
        return bench.build(self.compression) if self.compression is not None else None

    def train(
        self,
        bench: Workbench,
        model: nn.Module,
        blueprint: Blueprint,
        compression: Compression | None,
        given: Given,
        place: Place,
    ) -> Fit:
        """Fit ``model``; what earlier stages made of it is held."""
        from condenser.training.fit import fit
        from condenser.training.progress import Progress
        from condenser.training.resume import Resume

        module = self.module(bench, model, given, place.shelf, compression=compression)
        module.held = blueprint.hold(model)
        if bench.compile:
            model.compile()
        bench.data.batch_size, bench.data.seed = module.plan.batch_size, self.seed
        resume = Resume(place.checkpoint, bench.checkpoint_seconds, bench.warn)
        trainer = bench.trainer
        if compression is not None or module.held:  # they look at whole tensors
            trainer = strategies.whole(trainer)
        progress = bench.progress and Progress(self.label.partition("-")[2], bench.progress)
        return fit(module, trainer, bench.loggers(self.label), progress, resume)

    def start(self, bench: Workbench, given: Given) -> tuple[Blueprint, nn.Module]:
        """The network before its first step."""
        if self.architecture is not None:
            blueprint = self.blueprint(bench)
            return blueprint, blueprint.build(bench.trusted)
        assert given.source is not None
        return given.source.load(bench.trusted)

    def example(self, bench: Workbench) -> nn.Module:
        if self.architecture is None:
            return super().example(bench)
        return self.blueprint(bench).build(bench.trusted)

    def inherit(
        self, bench: Workbench, model: nn.Module, teachers: Sequence[Entry]
    ) -> dict[str, Any]:
        """Take parameters over from a teacher, in place; facts about that."""
        return {}

    def probe(self, bench: Workbench, blueprint: Blueprint) -> Probe:
        """What a compression may look at besides the model."""
        import torch

        from condenser.compress import Probe

        def origin() -> dict[str, Tensor]:
            torch.manual_seed(self.chain[0].first)
            return replace(blueprint, operations=()).build(bench.trusted).state_dict()

        def in_parts(count: int) -> Iterator[tuple[Tensor, Tensor]]:
            return bench.data.in_parts(min(count, bench.data.train_size))

        return Probe(in_parts, bench.data.task.hard_loss, origin, blueprint.operations)

    def blueprint(self, bench: Workbench) -> Blueprint:
        from condenser.checkpoint.model_spec import Blueprint

        assert self.architecture is not None
        data = bench.data
        return Blueprint(
            nameless(self.architecture),
            data.input_shape,
            data.num_classes,
            normalisation=(data.mean, data.std),
        )

    def module(
        self,
        bench: Workbench,
        model: nn.Module,
        given: Given,
        shelf: Path,
        **kwargs: Any,
    ) -> Student:
        """The Lightning module: a Distillation where there is a teacher to learn from."""
        from condenser.training import Distillation, Student
        from condenser.training.teacher_cache import Cache

        kwargs |= {"objective": bench.build(self.objective), "seed": self.seed}
        if not kwargs["objective"].needs_teacher:
            return Student(model, self.plan(bench, given), bench.data, **kwargs)
        kwargs |= {"teacher": self.frozen(bench, given.teachers), "cache": Cache(**self.cache)}
        kwargs["warn"] = bench.warn
        return Distillation(model, self.plan(bench, given), bench.data, shelf=shelf, **kwargs)

    def frozen(self, bench: Workbench, teachers: Sequence[Entry]) -> nn.Module:
        """The teacher, or several as one."""
        from condenser.distill.ensemble import committee

        models = [entry.load(bench.trusted)[1] for entry in teachers]
        return models[0] if len(models) == 1 else committee(models, self.vote, bench.data)

    def plan(self, bench: Workbench, given: Given | None = None) -> Plan:
        """How long and with what it trains; ``given`` once the models are there."""
        from condenser.training import Plan

        settings = self.settings["optim"]
        built = {key: bench.build(settings[key]) for key in ("optimizer", "schedule")}
        return Plan(**{**settings, **built})


def own(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section's method: what is left without the training around it."""
    return {key: value for key, value in section.items() if key not in AROUND}


def objective(config: Mapping[str, Any], bench: Workbench) -> Objective:
    """The objective, told what the data ask for; it refuses what has no meaning for it."""
    from condenser.distill import Objective

    built = bench.build(config)
    if not isinstance(built, Objective):
        raise ConfigError("distill._target_", config["_target_"], "a condenser.distill.Objective")
    built.prepare(bench.data.task, bench.data.targets)
    return built


def nameless(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """The architecture without the name it goes by, which changes nothing."""
    return {key: value for key, value in architecture.items() if key != "name"}


def revive(blueprint: Blueprint, state: dict[str, Any], bench: Workbench) -> nn.Module:
    """A fresh network with these weights, in eval mode; a zero that a mask left negative is one."""
    from condenser.models import weights

    model = blueprint.build(bench.trusted)
    weights.fill(model, {name: weights.plain_zero(tensor) for name, tensor in state.items()})
    return model.eval()


def zero() -> Any:
    """A parameter to try an optimiser's settings on."""
    import torch

    return torch.nn.Parameter(torch.zeros(1))
