"""distill: the small network learns from a teacher, from several, or together with a peer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from condenser.errors import ConfigError
from condenser.pipeline.stages.base import RunContext
from condenser.pipeline.stages.training import Training, TrainingStage, objective, own
from condenser.store import Entry

if TYPE_CHECKING:
    from torch import nn

    from condenser.training.student import Student


GENERATION = 1_000_003  # seeds of one generation are none of the next one's


class Distill(TrainingStage):
    """Trains ``distill.model``, or ``student.model``, on the objective.

    Its first weights are the baseline's, unless ``distill.inherit`` takes them from the teacher, or
    it learns from one of its own architecture: each generation of the born again draws its own
    (Furlanello, Lipton, Tschannen, Itti, Anandkumar, ICML 2018, https://arxiv.org/abs/1805.04770).
    With ``teachers: peer`` the teacher is ``teacher.model``, untrained, and learns at the same time
    (Zhang, Xiang, Hospedales, Lu, "Deep Mutual Learning", CVPR 2018,
    https://arxiv.org/abs/1706.00384).
    """

    word: ClassVar[str] = "distill"
    color: ClassVar[str] = "#0072b2"
    marker: ClassVar[str] = "D"

    @property
    def architecture(self) -> Mapping[str, Any]:
        return self.settings["model"] or self.config["student"]["model"]

    @property
    def generation(self) -> int:
        """How many networks of the same architecture learnt one from the other before it."""
        for teacher in self.teachers:
            if (
                not (teacher.takes_model or teacher.teaches)
                and teacher.architecture == self.architecture
            ):
                return 1 + getattr(teacher, "generation", 0)
        return 0

    @property
    def first(self) -> int:
        """Each generation starts anew, as the born again do."""
        return self.seed + GENERATION * self.generation

    @property
    def peer(self) -> Mapping[str, Any] | None:
        """The network that learns beside it."""
        return self.config["teacher"]["model"] if self.settings["teachers"] == "peer" else None

    @property
    def objective(self) -> Mapping[str, Any]:
        return own(self.settings)

    def ingredients(self) -> dict[str, Any]:
        born = {"generation": self.generation}
        more = {"inherit": self.settings["inherit"], "peer": self.peer, **born}
        return super().ingredients() | {key: value for key, value in more.items() if value}

    def accept(self) -> None:
        if self.settings["inherit"] and len(self.teachers) != 1:
            allowed = f"null where there is not one teacher but {len(self.teachers)}"
            raise ConfigError("distill.inherit", self.settings["inherit"], allowed)

    def check(self, ctx: RunContext) -> None:
        super().check(ctx)
        from condenser.measure import cka
        from condenser.training.distillation import build_projectors
        from condenser.training.teacher_cache import Cache

        student = self.example(ctx)
        teachers = [stage.example(ctx) for stage in self.teachers]
        if self.peer is not None:
            teachers = [network(self.peer, ctx)]
        if self.settings["inherit"]:
            ctx.build(self.settings["inherit"])(student, teachers[0], ctx.data.example(2))
        for teacher in teachers:
            built = objective(self.objective, ctx)
            if not built.needs_teacher:
                continue
            if self.peer is not None and any(
                getattr(m, "wants_strong", 0) for m in built.modules()
            ):
                raise ConfigError(
                    "distill.teachers", "peer", f"a teacher with distill={built.method}"
                )
            build_projectors(built, student, teacher, ctx.data.example(2))
            Cache(**self.cache).check(
                ctx.data, built.teacher_layers, self.ensemble == "random" or built.rewrites
            )
            if built.teacher_layers and len(teachers) > 1:
                allowed = "an objective on logits where there are several teachers"
                raise ConfigError("distill", self.objective["_target_"], allowed)
        if isinstance(layers := self.config["teacher"]["cka"], Mapping) and len(teachers) == 1:
            pairs = layers["student"], layers["teacher"]
            cka(student, teachers[0], ctx.data.example(2), pairs)
        small = parameters(student)
        large = max(map(parameters, teachers))
        if small > large and self.peer is None:
            ctx.warn(
                f"student {self.architecture['name']} has {small:,} parameters, more than "
                f"its teacher with {large:,}"
            )

    def inherit(
        self, ctx: RunContext, model: nn.Module, teachers: Sequence[Entry]
    ) -> dict[str, Any]:
        if not self.settings["inherit"]:
            return {}
        _, teacher = teachers[0].load(ctx.trusted)
        took = ctx.build(self.settings["inherit"])(model, teacher, ctx.data.example(2))
        return {"distill/inherited": took.parameters, "distill/inherited_tensors": took.tensors}

    def module(self, ctx: RunContext, training: Training) -> Student:
        if self.peer is None:
            return super().module(ctx, training)
        import torch

        from condenser.training.mutual import Mutual

        torch.manual_seed(self.seed + 1)  # the peer is another network from its first weights on
        return Mutual(
            training.model,
            self.plan(ctx),
            ctx.data,
            peer=network(self.peer, ctx),
            objective=ctx.build(self.objective),
            peer_objective=ctx.build(self.objective),
            seed=self.seed,
        )


def network(model: Mapping[str, Any], ctx: RunContext) -> nn.Module:
    """A network of the config, its weights as initialised."""
    from condenser import models

    data = ctx.data
    size = data.vocabulary.size if data.vocabulary is not None else None
    return models.build(model, data.input_shape, data.num_classes, ctx.trusted, size)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
