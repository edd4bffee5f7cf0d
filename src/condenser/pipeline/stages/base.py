"""The contract of a stage: it takes a model, returns a model and what it knows about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from condenser.pipeline.stages.pairs import row_of
from condenser.store import Entry, StageDir
from condenser.training.distributed.process_group import ProcessGroup

if TYPE_CHECKING:
    from torch import nn

    from condenser.checkpoint.model_spec import ModelSpec
    from condenser.compress import Promise
    from condenser.data import DataModule


@dataclass(frozen=True)
class RunContext:
    """What the stages of a run share.

    Attributes:
        build: a config with ``_target_`` → the object it names.
        trainer: settings of pl.Trainer.
        loggers: Lightning loggers of the stage that is running.
        trusted: targets outside condenser.models that the user's own config names.
        process_group: the processes that train together.
    """

    data: DataModule
    build: Callable[[Mapping[str, Any]], Any]
    trainer: Mapping[str, Any]
    loggers: Callable[[str], list[Any]]
    trusted: tuple[str, ...] = ()
    progress: Callable[[str, bool], None] | None = None
    compile: bool = False
    checkpoint_seconds: float = 30
    warn: Callable[[str], None] = print
    process_group: ProcessGroup = field(default_factory=ProcessGroup)


@dataclass(frozen=True)
class StageInputs:
    """The models that a stage works with.

    Attributes:
        line: the models that led to the one it takes, which is the last; the first was trained
            from scratch.
        teachers: those it learns from; none where it does not.
        reference: of a baseline, the model that it is compared with.
    """

    line: Sequence[Entry] = ()
    teachers: Sequence[Entry] = ()
    reference: Entry | None = None

    @property
    def source(self) -> Entry | None:
        """The model it takes."""
        return self.line[-1] if self.line else None


@dataclass
class StageResult:
    """What a stage made.

    Attributes:
        model: what will be kept, measured and handed on.
        last: the same network after the last epoch, where training chose an earlier one.
        facts: what the stage alone knows, by record key.
        file: the deployed file; where there is one, it is measured instead of the model.
        unmeasured: only sizes are taken of it.
        threads: that run the file.
        promises: what a compression was asked for, to be read from the model.
    """

    spec: ModelSpec
    model: nn.Module
    metrics: dict[str, Any] = field(default_factory=dict)
    last: nn.Module | None = None
    file: Path | None = None
    unmeasured: bool = False
    threads: int = 1
    promises: Sequence[Promise] = ()


class Stage(ABC):
    """One step of a recipe, with its settings resolved.

    Class attributes:
        word: what a recipe calls it, and its section of the config.
        kind: what it does to a network, as records say it: trains, masks, rebuilds, codes,
            exports or baseline.
        color, marker: how figures show its models.
        variants: setting → its row in the table of ``pairs``, where that is set.
        teaches: ``teachers: auto`` means it.
        parts: names of the layers that it makes of one.
        takes_model: it works on the model of the stage before it.
        trains: it changes weights by gradient steps.

    Attributes:
        teachers: the stages whose models it may learn from.
        until: it is left out where the model before it has this accuracy on validation.
        chain: the stages that made the model it takes, from the one that started it.
        reference: of a baseline, the stage that it is compared with.
    """

    word: ClassVar[str]
    kind: ClassVar[str] = "trains"
    color: ClassVar[str] = "#444444"
    marker: ClassVar[str] = ">"
    variants: ClassVar[Mapping[str, str]] = MappingProxyType({})
    teaches: ClassVar[bool] = False
    parts: ClassVar[tuple[str, ...]] = ()
    takes_model: ClassVar[bool] = False
    trains: ClassVar[bool] = False

    def __init__(
        self,
        config: Mapping[str, Any],
        position: int,
        teachers: Sequence[Stage] = (),
        chain: Sequence[Stage] = (),
        until: float | None = None,
        reference: Stage | None = None,
    ) -> None:
        self.config, self.position, self.until = config, position, until
        self.teachers, self.chain, self.reference = tuple(teachers), tuple(chain), reference

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.config[self.word]

    @property
    def row(self) -> str:
        """Its row and column in the table of ``pairs``; one from outside has none there."""
        if not type(self).__module__.startswith("condenser."):
            return self.word
        return row_of(self.word, self.config.get(self.word, {}), self.variants)

    @property
    def label(self) -> str:
        return f"{self.position}-{self.word}"

    @property
    def seed(self) -> int:
        return self.config["seed"]

    @property
    def first(self) -> int:
        """The seed of its first weights, where it draws them."""
        return self.seed

    @property
    def uses_teacher(self) -> bool:
        """Whether the result depends on the models of ``teachers``."""
        return False

    @property
    def architecture(self) -> Mapping[str, Any] | None:
        """The network that the stage starts from scratch, if it does."""
        return None

    def example(self, ctx: RunContext) -> nn.Module:
        """A network as its result will be, but for the weights and for what made it smaller."""
        return self.chain[0].example(ctx)

    def accept(self) -> None:  # noqa: B027 - most stages take any
        """ConfigError if it cannot work on the model that ``chain`` would make."""

    @abstractmethod
    def ingredients(self) -> dict[str, Any]:
        """All settings that determine the result, beside models, data, seed and hardware."""

    @abstractmethod
    def check(self, ctx: RunContext) -> None:
        """Build all that ``run`` will need, so that what cannot work fails before training."""

    @abstractmethod
    def run(self, ctx: RunContext, inputs: StageInputs, place: StageDir) -> StageResult:
        """Do the work."""

    def work(self, ctx: RunContext, inputs: StageInputs, place: StageDir) -> StageResult:
        """``run``, on every process where something is trained."""
        if self.trains:
            ctx.process_group.run_on_all(join_training, self, inputs, place)
        return self.run(ctx, inputs, place)

    def described(self) -> dict[str, Any]:
        """The stage's settings as record keys: the config's path with slashes, scalars only."""
        return dict(flat(self.word, self.settings))


def join_training(ctx: RunContext, stage: Stage, inputs: StageInputs, place: StageDir) -> None:
    """Take part in what another process leads."""
    stage.run(ctx, inputs, place)


def flat(path: str, settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """``{rate: .5, criterion: {_target_: a.Magnitude}}`` under ``prune`` gives ``prune/rate`` = .5,
    ``prune/criterion`` = Magnitude; a section's own ``_target_`` is its ``method``."""
    for key, value in settings.items():
        if key == "_target_":
            yield f"{path}/method", value.rpartition(".")[2]
        elif isinstance(value, Mapping):
            inner = dict(value)
            if "_target_" in inner:
                yield f"{path}/{key}", inner.pop("_target_").rpartition(".")[2]
            yield from flat(f"{path}/{key}", inner)
        elif isinstance(value, str | int | float | bool) and not key.startswith("_"):
            yield f"{path}/{key}", value
