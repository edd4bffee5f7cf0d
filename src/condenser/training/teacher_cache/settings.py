"""Settings of the teacher cache: the section ``teacher.cache``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from condenser.data import Arrays, DataModule
from condenser.errors import ConfigError, UnknownError

PLACES = ("auto", "none", "memory", "disk")
FLOATS = ("float32", "float16")
ROOM = 2**30  # bytes cached in memory by default


@dataclass(frozen=True)
class Cache:
    """Whether, how precisely and where a teacher's outputs for the training set are cached.

    Attributes:
        keep: ``none``: run the teacher in every step. ``memory``: for one training. ``disk``:
            shared by all trainings with the same key. ``auto``: on disk if there is a folder for
            it, else in memory, provided it pays: finitely many views of an image, no more than
            epochs, all that the objective needs, 1 GiB at most; else none.
        logits: ``float32``, ``float16``, or k to store only the k largest logits exactly.
        features: cache features too, if the objective uses them; in float32 if the logits are,
            else in float16.
        folder: explicit location instead of a content-addressed one. It must match the run.

    Raises:
        ConfigError: a value that cannot be used.
    """

    keep: str = "auto"
    logits: str | int = "float32"
    features: bool = False
    folder: str | None = None

    def __post_init__(self) -> None:
        if self.keep not in PLACES:
            raise UnknownError("teacher.cache.keep", self.keep, PLACES)
        count = isinstance(self.logits, int) and not isinstance(self.logits, bool)
        if self.logits not in FLOATS and not (count and int(self.logits) > 0):
            allowed = "float32, float16 or the number of logits to keep, 1 or more"
            raise ConfigError("teacher.cache.logits", self.logits, allowed)
        if not isinstance(self.features, bool):
            raise ConfigError("teacher.cache.features", self.features, "true or false")
        if self.folder is not None and self.keep in ("none", "memory"):
            raise ConfigError("teacher.cache.folder", self.folder, f"null with keep={self.keep}")

    @property
    def asked(self) -> bool:
        """Whether caching was requested explicitly, so that skipping it is an error."""
        return self.keep in ("memory", "disk") or self.folder is not None

    def check(self, data: DataModule, layers: Sequence[str] = (), drawn: bool = False) -> None:
        """Reject impossible caching before training.

        Args:
            layers: the teacher's layers that the objective uses.
            drawn: the teacher's outputs are random.

        Raises:
            ConfigError: new images in every epoch, random outputs, layers without ``features``, or
                the k largest logits of a task whose probabilities do not add up to one.
        """
        if isinstance(self.logits, int) and data.task.word != "multiclass":
            allowed = f"float32 or float16 where the task is {data.task.word}"
            raise ConfigError("teacher.cache.logits", self.logits, allowed)
        if not self.asked:
            return
        if not data.task.by_sample or (layers and data.vocabulary is not None):
            allowed = "none, or auto without a folder, where samples have outputs of other lengths"
            raise ConfigError("teacher.cache.keep", self.keep, allowed)
        if views_of(data) is None:
            allowed = "none, or auto without a folder, where every epoch shows new images"
            hint = "data.views=8 shows the same eight versions of each image again and again"
            raise ConfigError("teacher.cache.keep", self.keep, allowed, hint)
        if drawn:
            allowed = "none, or auto without a folder, where a teacher is drawn in every step"
            raise ConfigError("teacher.cache.keep", self.keep, allowed)
        if layers and not self.features:
            allowed = f"true where the objective looks at the teacher's {', '.join(layers)}"
            raise ConfigError("teacher.cache.features", False, allowed, "or keep=auto, folder=null")

    def place(self, views: int, size: int, epochs: int, cache_dir: bool) -> str:
        """``none``, ``memory`` or ``disk``, for ``size`` bytes and whether there is a folder."""
        if self.folder is not None:
            return "disk"
        if self.keep != "auto":
            return self.keep
        if size > ROOM or views > epochs:
            return "none"
        return "disk" if cache_dir else "memory"

    def where(self, cache_dir: Path | None, key: str) -> Path:
        """The folder for this key."""
        if self.folder is not None:
            return Path(self.folder)
        if cache_dir is None:
            raise ConfigError("teacher.cache.folder", None, "a path, where no store is to hold it")
        return cache_dir / f"outputs-{key}"


def views_of(data: DataModule) -> int | None:
    """Total number of views per image; None: a new one each epoch."""
    return 1 if data.fixed else data.views


def random_seed(data: DataModule) -> int | None:
    """The augmentation seed; None without random augmentation."""
    fixed = isinstance(data.parts.train, Arrays) and not data.augment and data.mix is None
    return None if fixed else data.seed
