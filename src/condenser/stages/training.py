"""What stages that train have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from condenser.stages.base import Outcome, Stage, Workbench

if TYPE_CHECKING:
    from torch import nn

    from condenser.blueprint import Blueprint
    from condenser.modules import Plan, Student
    from condenser.store import Entry, Place

LABELS = {"_target_": "condenser.distill.Labels"}


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

    def ingredients(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture and nameless(self.architecture),
            "optim": self.settings["optim"],
            "objective": dict(self.objective),
            "compression": self.compression,
        }

    def check(self, bench: Workbench) -> None:
        bench.build(self.objective)
        self.plan(bench).optimizer([zero()], lr=self.settings["optim"]["lr"])
        if self.compression is not None:
            bench.build(self.compression)
        if self.architecture is not None:
            self.blueprint(bench).build(bench.trusted)

    def run(
        self, bench: Workbench, source: Entry | None, teacher: Entry | None, place: Place
    ) -> Outcome:
        import torch

        from condenser.modules.fit import fit
        from condenser.modules.resume import Resume

        torch.manual_seed(self.seed)
        blueprint, model = self.start(bench, source)
        model.requires_grad_(True)
        compression = bench.build(self.compression) if self.compression is not None else None
        if compression is not None:
            compression.prepare(model)
        module = self.module(bench, model, teacher, compression=compression)
        module.held = blueprint.hold(model)
        if bench.compile:
            model.compile()
        bench.data.batch_size, bench.data.seed = module.plan.batch_size, self.seed
        resume = Resume(place.checkpoint, bench.checkpoint_seconds)
        done = fit(module, bench.trainer, bench.loggers(self.label), bench.progress, resume)
        if compression is not None:
            blueprint = blueprint.then(compression.finish())
        best, last = revive(blueprint, done.best, bench), revive(blueprint, done.last, bench)
        return Outcome(blueprint, best, done.costs(), last)

    def start(self, bench: Workbench, source: Entry | None) -> tuple[Blueprint, nn.Module]:
        """The network before its first step."""
        if self.architecture is not None:
            blueprint = self.blueprint(bench)
            return blueprint, blueprint.build(bench.trusted)
        assert source is not None
        return source.load(bench.trusted)

    def blueprint(self, bench: Workbench) -> Blueprint:
        from condenser.blueprint import Blueprint

        assert self.architecture is not None
        return Blueprint(
            nameless(self.architecture), bench.data.input_shape, bench.data.num_classes
        )

    def module(
        self, bench: Workbench, model: nn.Module, teacher: Entry | None, **kwargs: Any
    ) -> Student:
        """The Lightning module: a Distillation where there is a teacher to learn from."""
        from condenser.modules import Distillation, Student

        kwargs |= {"objective": bench.build(self.objective), "seed": self.seed}
        if not kwargs["objective"].needs_teacher:
            return Student(model, self.plan(bench), bench.data, **kwargs)
        assert teacher is not None
        _, frozen = teacher.load(bench.trusted)
        return Distillation(model, self.plan(bench), bench.data, teacher=frozen, **kwargs)

    def plan(self, bench: Workbench) -> Plan:
        from condenser.modules import Plan

        settings = self.settings["optim"]
        built = {key: bench.build(settings[key]) for key in ("optimizer", "schedule")}
        return Plan(**{**settings, **built})


def nameless(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """The architecture without the name it goes by, which changes nothing."""
    return {key: value for key, value in architecture.items() if key != "name"}


def revive(blueprint: Blueprint, state: dict[str, Any], bench: Workbench) -> nn.Module:
    """A fresh network with these weights, in eval mode."""
    model = blueprint.build(bench.trusted)
    model.load_state_dict(state)
    return model.eval()


def zero() -> Any:
    """A parameter to try an optimiser's settings on."""
    import torch

    return torch.nn.Parameter(torch.zeros(1))
