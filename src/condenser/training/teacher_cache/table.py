"""Look up cached teacher outputs by view and sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from condenser.distill import Outputs
from condenser.training.teacher_cache.manifest import Manifest, feature
from condenser.training.teacher_cache.settings import ROOM


@dataclass(frozen=True, eq=False)
class CachedOutputs:
    """A teacher's outputs for every view of every training image.

    Attributes:
        arrays: those of ``manifest.arrays``, (views, samples, …) each.
    """

    manifest: Manifest
    arrays: Mapping[str, Tensor]

    def __call__(self, index: Tensor, epoch: int, dtype: torch.dtype = torch.float32) -> Outputs:
        """The outputs for a batch.

        Args:
            index: int64 (batch,), the samples' indices in the training set.
            epoch: in which they are used.
            dtype: of the features; logits are float32.
        """
        view = epoch % self.manifest.views
        found = {name: chosen(array[view], index) for name, array in self.arrays.items()}
        layers = enumerate(self.manifest.layers)
        features = {name: found[feature(i)].to(dtype) for i, name in layers}
        logits = self.manifest.form.decode(found, self.manifest.classes)
        return Outputs(logits, features, index)

    def to(self, device: torch.device) -> CachedOutputs:
        """Move to a device, unless larger than 1 GiB."""
        if self.manifest.bytes > ROOM:
            return self
        return CachedOutputs(self.manifest, {name: a.to(device) for name, a in self.arrays.items()})


def chosen(rows: Tensor, index: Tensor) -> Tensor:
    """rows[index] on the device of ``index``; index_select copies rows whole."""
    return rows.index_select(0, index.to(rows.device)).to(index.device)
