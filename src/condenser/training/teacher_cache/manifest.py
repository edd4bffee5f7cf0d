"""The manifest of a teacher cache: network, data and format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from condenser.training.teacher_cache.forms import Form, Specs, form_of

FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """Everything that determines a teacher's outputs for a training set, and their format.

    Attributes:
        teacher: ``digest`` of the network.
        data: fingerprint of the data, augmentation included.
        seed: of the augmentation; None if nothing is random.
        views, samples, classes: views per image, images, logits per image.
        logits: ``float32``, ``float16`` or k for the k largest.
        layers: shape of one sample's feature by the layer's name.
        numerics: ``measure.arithmetic`` at computation.
    """

    teacher: str
    data: str
    seed: int | None
    views: int
    samples: int
    classes: int
    logits: str | int
    layers: Mapping[str, tuple[int, ...]]
    numerics: Mapping[str, Any]
    format: int = FORMAT

    @property
    def parts(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    @property
    def key(self) -> str:
        """Content key: 16 hex digits."""
        text = json.dumps(self.parts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def differences(self, stored: Mapping[str, Any]) -> list[str]:
        """A phrase for each field of a stored manifest that differs from this one."""
        return [
            f"{part} is {json.dumps(stored.get(part))}, wanted is {json.dumps(wanted)}"
            for part, wanted in self.parts.items()
            if stored.get(part) != wanted
        ]

    @cached_property
    def form(self) -> Form:
        return form_of(self.logits)

    @cached_property
    def arrays(self) -> Specs:
        """dtype and shape (views, samples, …) of each stored array."""
        kind = "float32" if self.logits == "float32" else "float16"
        features = {feature(i): (kind, shape) for i, shape in enumerate(self.layers.values())}
        one = self.form.specs(self.classes) | features
        return {name: (t, (self.views, self.samples, *shape)) for name, (t, shape) in one.items()}

    @property
    def bytes(self) -> int:
        return sum(np.dtype(t).itemsize * prod(shape) for t, shape in self.arrays.values())


def feature(position: int) -> str:
    """The array name of the layer at an index: a layer's name may not be a valid file name."""
    return f"feature_{position}"
