"""The interfaces of a compression and of its replayable operations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor, nn

from condenser.compress.patterns import refuse_unmatched
from condenser.compress.promises import Promise
from condenser.data.lengths import joined
from condenser.errors import DamagedError, nearest
from condenser.tasks import NOTHING, PAD

State = dict[str, Tensor]
Projection = Callable[[], None]
Patterns = tuple[Sequence[str], Sequence[str]]  # patterns, and the names that they are for


@dataclass(frozen=True)
class Operation:
    """One change to a model that can be stored as JSON and replayed.

    A stored model is rebuilt by building its architecture, applying its operations in order and
    loading its weights. Fields are JSON values; a subclass is known by its class name.
    """

    known: ClassVar[dict[str, type[Operation]]] = {}

    def __init_subclass__(cls) -> None:
        Operation.known[cls.__name__] = cls

    def apply(self, model: nn.Module) -> None:
        """Change the structure of ``model`` in place."""

    def encode(self, state: State) -> State:
        """The state as stored: integer codes instead of floats, for instance.

        The last operation encodes first and decodes last.
        """
        return state

    def decode(self, state: State) -> State:
        """The inverse of ``encode``, exactly."""
        return state

    def violations(self, before: State, after: State) -> list[str]:
        """Weights in ``after`` that violate the structure this operation created in ``before``."""
        return []

    def constraint(self, model: nn.Module) -> Projection | None:
        """Called after every optimiser step: re-applies this operation's structure."""
        return None

    def to_json(self) -> dict[str, Any]:
        return {"operation": type(self).__name__, **asdict(self)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Operation:
        """Raises DamagedError for an unknown operation."""
        fields = dict(data)
        name = fields.pop("operation", None)
        if name not in Operation.known:
            hint = nearest(str(name), Operation.known)
            raise DamagedError(f"the model names an unknown operation '{name}' {hint}".strip())
        return Operation.known[name](**fields)


@dataclass(frozen=True)
class CalibrationData:
    """Training data and context available to a compression.

    Attributes:
        in_parts: n → normalised training images (m, C, H, W) and their targets (m,), part by part
            until there are n or no more; the same each time, the classes in proportion in each.
        loss: (logits, target) → scalar.
        origin: the weights of this network before any training, for rewinding.
        operations: what has made the network what it is.
    """

    in_parts: Callable[[int], Iterable[tuple[Tensor, Tensor]]]
    loss: Callable[[Tensor, Tensor], Tensor]
    origin: Callable[[], State]
    operations: Sequence[Operation] = ()

    def sample(self, n: int) -> tuple[Tensor, Tensor]:
        """All parts concatenated, sequences as long as the longest."""
        images, targets = zip(*self.in_parts(n), strict=True)
        return joined(images, PAD), joined(targets, NOTHING)


class Compression(ABC):
    """Makes a model smaller: prepared once, called every training step, then finished.

    ``ready`` says whether the model is as small as asked: only then may an epoch be chosen as best.
    What it does to the structure it does in ``prepare``, in place, before an optimiser is made.

    Class attributes:
        trains: the network may be trained after ``prepare``.
        kind: what it leaves in a network and needs of it, a row and a column of the table in
            ``condenser.pipeline.stages.pairs``; by default the word of its stage.

    Attributes:
        by_training: it does nothing where no training follows.
        exclude: patterns of layer names that it was told to leave alone.
        reached: the layers whose weights it works on, after ``prepare``; None: it does not say.
        skipped: layers, or what holds them, that it leaves alone → why.
    """

    trains: ClassVar[bool] = True
    kind: ClassVar[str] = ""
    by_training: bool = False
    exclude: Sequence[str] = ()
    reached: Sequence[str] | None = None
    skipped: Mapping[str, str] = MappingProxyType({})

    def named(self, model: nn.Module, image: Tensor | None) -> Mapping[str, Patterns]:
        """Setting → its layer name patterns, and the names they can match."""
        return {}

    def refuse_unmatched(
        self, model: nn.Module, image: Tensor | None, parts: Sequence[str] = ()
    ) -> None:
        """ConfigError for a pattern that no layer matches, nor one of the ``parts`` that an earlier
        stage may make of it. A layer whose weight is computed from others (weight norm) is left
        alone anyway, and may be named."""
        computed = [
            name
            for name, layer in model.named_modules()
            if isinstance(getattr(layer, "weight", None), Tensor)
            and "weight" not in layer._parameters
        ]
        for key, (patterns, names) in self.named(model, image).items():
            more = [*computed, *(f"{n}.{p}" for n in names for p in parts)]
            refuse_unmatched(key, patterns, names, more)

    def claims(self, model: nn.Module) -> Sequence[str]:
        """The layers whose values it will change, as far as names and types tell."""
        return ()

    def check(self, model: nn.Module, image: Tensor) -> None:  # noqa: B027 - most can always
        """Before training: reject what cannot work with this network's layers.

        Args:
            model: with random weights, of which nothing is to be concluded; may be changed.
            image: (1, C, H, W).

        Raises:
            ConfigError: ``prepare`` would, whatever the weights.
        """

    @abstractmethod
    def prepare(self, model: nn.Module, calibration: CalibrationData | None = None) -> None:
        """Analyse the model, and change its structure if needed, before the first training step.

        Raises:
            ConfigError: it needs data, and there is no calibration.
        """

    @abstractmethod
    def step(self, progress: float) -> None:
        """Called after each optimiser step; ``progress`` in (0, 1]: fraction of training done."""

    def at_once(self) -> None:
        """Called instead of all steps if no training follows ``prepare``."""
        self.step(1.0)

    @property
    @abstractmethod
    def ready(self) -> bool: ...

    @abstractmethod
    def state(self) -> State:
        """The state of ``step`` between calls, as tensors."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Resume from ``state``, after ``prepare`` on the same model."""

    def kept(self, model: nn.Module, state: State) -> State:
        """The state of what is kept of ``model``, which was trained to ``state`` and stays so."""
        return state

    @abstractmethod
    def finish(self) -> list[Operation]:
        """The operations that were applied, for replay."""

    def promises(self) -> Sequence[Promise]:
        """What was asked for, after ``prepare``; it is read from the final network, at the end of
        the stage, and the first is its record's ``achieved``."""
        return ()

    def metrics(self) -> Mapping[str, str | float]:
        """Metrics for the record, under the stage's name."""
        return {}

    def random_baseline(
        self, made: nn.Module, operations: Sequence[Operation], seed: int
    ) -> Compression | None:
        """The random baseline: the same per-layer reduction as in ``made``, chosen at random.

        ``made`` and ``operations`` are what this compression left. None where there is no such
        thing: a codebook drawn at random is no network.
        """
        return None


class AtOnce(Compression):
    """A one-shot compression, done in ``prepare``; training afterwards is fine-tuning.

    Attributes:
        operations: what was done, after ``prepare``.
        skipped: what was left alone → why, after ``prepare``.
    """

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.skipped: dict[str, str] = {}

    def step(self, progress: float) -> None:
        """No-op."""

    @property
    def ready(self) -> bool:
        return True

    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None:
        """``prepare`` has made the same structure again; the weights are the model's."""

    def finish(self) -> list[Operation]:
        return self.operations
