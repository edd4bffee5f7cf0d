"""A network or a deployed file, asked for the logits of images as they are stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from condenser.capture import device_of, evaluating

BATCH = 500


@dataclass(frozen=True)
class Evaluated:
    """The one way that behaviour is measured: images in, logits out.

    Attributes:
        predictor: a module, or an onnxruntime session or any other callable.
        normalise: what it takes instead of images as they are stored; None: these.
    """

    predictor: Callable[[Tensor], Any]
    normalise: Callable[[Tensor], Tensor] | None = None

    def logits(self, images: Tensor) -> Tensor:
        """Images (N, …) as they are stored → logits (N, outputs) float32 on the CPU."""
        device, found = device_of(self.predictor), []
        with evaluating(self.predictor):
            for part in images.split(BATCH):
                given = part if self.normalise is None else self.normalise(part)
                found.append(torch.as_tensor(self.predictor(given.to(device))).detach().float())
        return torch.cat(found).cpu()
