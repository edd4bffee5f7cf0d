"""Baselines that a compressed network must beat, added beside each compression by ``baselines``.

random: the same amount of every layer is removed, chosen at random.
scratch: the same small network, from fresh weights, for as many epochs as its line took.
compute: the same, for as many multiply-accumulates as its line took.
dense: the network that was compressed, trained on for as many epochs, whole.

The small network from scratch for equal epochs or equal compute: Liu, Sun, Zhou, Huang, Darrell,
"Rethinking the Value of Network Pruning", ICLR 2019, https://arxiv.org/abs/1810.05270
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from condenser.errors import ConfigError
from condenser.pipeline.stages.base import RunContext, StageInputs
from condenser.pipeline.stages.compression import CompressionStage
from condenser.pipeline.stages.training import TrainingStage
from condenser.store import Entry

if TYPE_CHECKING:
    from torch import nn

    from condenser.checkpoint.model_spec import ModelSpec
    from condenser.compress import Compression
    from condenser.training.plan import Plan


class Baseline(TrainingStage):
    """Trains beside ``of`` by the same plan and objective, but for what its kind changes.

    Class attributes:
        baseline: what ``baselines`` calls it.
    """

    word: ClassVar[str] = "baseline"
    kind: ClassVar[str] = "baseline"
    baseline: ClassVar[str]

    def __init__(self, of: CompressionStage, position: int) -> None:
        super().__init__(of.config, position, of.teachers, of.chain, reference=of)
        self.of = of

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.of.settings

    @property
    def objective(self) -> Mapping[str, Any]:
        return self.of.objective

    @property
    def label(self) -> str:
        return f"{self.of.label}-{self.baseline}"

    def ingredients(self) -> dict[str, Any]:
        return super().ingredients() | {"baseline": self.baseline}

    def described(self) -> dict[str, Any]:
        return self.of.described() | {"baseline/kind": self.baseline, "baseline/of": self.of.word}


class Random(Baseline):
    baseline: ClassVar[str] = "random"
    takes_model: ClassVar[bool] = True

    def check(self, ctx: RunContext) -> None:
        from condenser.compress import Compression

        super().check(ctx)
        assert self.of.compression is not None
        kind = type(ctx.build(self.of.compression))
        if kind.random_baseline is Compression.random_baseline:
            allowed = f"baselines without it: {kind.__name__} takes nothing that could be drawn"
            raise ConfigError(
                "baselines", self.baseline, allowed, "as in baselines=[scratch,dense]"
            )

    def compressor(self, ctx: RunContext, inputs: StageInputs) -> Compression | None:
        assert inputs.source is not None
        assert inputs.reference is not None
        config = self.of.compression
        assert config is not None
        before, _ = inputs.source.load(ctx.trusted)
        after, made = inputs.reference.load(ctx.trusted)
        operations = after.operations[len(before.operations) :]
        return ctx.build(config).random_baseline(made, operations, self.seed)


class Dense(Baseline):
    baseline: ClassVar[str] = "dense"
    takes_model: ClassVar[bool] = True

    def __init__(self, of: CompressionStage, position: int) -> None:
        super().__init__(of, position)
        self.reference = None  # it is the same whatever becomes of the other

    def described(self) -> dict[str, Any]:
        return {"baseline/kind": self.baseline, "baseline/of": self.of.word}


class Scratch(Baseline):
    baseline: ClassVar[str] = "scratch"

    @property
    def architecture(self) -> Mapping[str, Any] | None:
        return self.chain[0].architecture

    def start(self, ctx: RunContext, inputs: StageInputs) -> tuple[ModelSpec, nn.Module]:
        assert inputs.reference is not None
        spec, made = inputs.reference.load(ctx.trusted)
        return spec, afresh(spec, made, ctx)

    def plan(self, ctx: RunContext, inputs: StageInputs | None = None) -> Plan:
        plan = super().plan(ctx)
        return plan if inputs is None else replace(plan, epochs=self.spent(inputs))

    def ingredients(self) -> dict[str, Any]:
        own = {} if self.of.epochs else {"epochs": "of the line"}  # it was once left untrained
        return super().ingredients() | own

    def spent(self, inputs: StageInputs) -> int:
        """Of all stages that led to the small network."""
        assert inputs.reference is not None
        return sum(epochs(entry) for entry in (*inputs.line, inputs.reference))


class Compute(Scratch):
    baseline: ClassVar[str] = "compute"

    def spent(self, inputs: StageInputs) -> int:
        assert inputs.reference is not None
        spent = sum(
            epochs(entry) * entry.metrics["compute/macs"]
            for entry in (*inputs.line, inputs.reference)
        )
        return round(spent / inputs.reference.metrics["compute/macs"])


def epochs(entry: Entry) -> int:
    return int(entry.metrics.get("cost/epochs") or 0)


def afresh(spec: ModelSpec, made: nn.Module, ctx: RunContext) -> nn.Module:
    """A network of the shape and with the zeros of ``made``, its weights drawn anew.

    Layers that a compression gave another shape draw theirs for that shape.
    """
    import torch

    from condenser.compress import Sparse

    whole = replace(spec, operations=()).build(ctx.trusted).state_dict()
    model = spec.build(ctx.trusted)
    for name, layer in model.named_modules():
        own = {f"{name}.{key}": p for key, p in layer.named_parameters(recurse=False)}
        changed = any(key not in whole or whole[key].shape != p.shape for key, p in own.items())
        if changed and hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    weights = dict(made.named_parameters())
    pruned = [op.layers for op in spec.operations if isinstance(op, Sparse)]
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if any(name == f"{layer}.weight" for layers in pruned for layer in layers):
                weight.mul_(weights[name] != 0)
    return model


def baselines(stages: Sequence[Any], asked: bool | Sequence[str]) -> list[Baseline]:
    """The baselines of every compression among ``stages``, in its order, numbered on from them."""
    wanted = [
        (stage, kind)
        for stage in stages
        if isinstance(stage, CompressionStage)
        for kind in (Random, Scratch, Compute, Dense)
        if kind.baseline in stage.baselines and asked and (asked is True or kind.baseline in asked)
        if kind is Random or (stage.epochs if kind is Dense else trained(stage))
    ]
    return [kind(stage, len(stages) + number) for number, (stage, kind) in enumerate(wanted)]


def trained(stage: CompressionStage) -> bool:
    """Whether anything on the way to its network was trained here."""
    line = (s for s in (*stage.chain, stage) if isinstance(s, TrainingStage))
    return any(s.epochs for s in line)
