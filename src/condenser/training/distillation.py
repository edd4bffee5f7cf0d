"""Distillation: training a student against a frozen teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from condenser.capture import Capture, evaluating
from condenser.capture.hooks import bare
from condenser.data import Batch, DataModule, TwoViews
from condenser.distill import Objective, Outputs
from condenser.training.state import laid_out
from condenser.training.student import Student
from condenser.training.teacher_cache import Cache, CachedOutputs, load_or_compute


class Distillation(Student):
    """A student whose objective also gets a frozen teacher's outputs for the same images.

    The teacher is not part of the module's state: never trained, saved, averaged or wrapped, always
    in eval mode and without gradients. If its outputs can be cached, see ``teacher_cache.Cache``,
    they are computed once, before the first step.

    Args:
        cache: whether and how outputs are cached.
        cache_dir: folder of the content-addressed caches on disk.
        warn: called with a message if a cache is damaged.
    """

    def __init__(
        self,
        *args: Any,
        teacher: nn.Module,
        cache: Cache | None = None,
        cache_dir: Path | None = None,
        warn: Callable[[str], None] = print,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        frozen = laid_out(teacher.eval().requires_grad_(False), self.data.example(2))
        self._frozen = (frozen,)  # in a tuple, so that nn.Module does not register it
        self.captures = build_projectors(self.objective, self.model, frozen, self.data.example(2))
        parts = self.objective.modules()
        self.strong = any(isinstance(m, Objective) and m.wants_strong for m in parts)
        self.stochastic |= getattr(teacher, "stochastic", False)
        self.cache, self.cache_dir, self.warn = cache or Cache(), cache_dir, warn
        self.cached: CachedOutputs | None = None

    @property
    def teacher(self) -> nn.Module:
        return self._frozen[0]

    def on_train_start(self) -> None:
        super().on_train_start()
        where = self.cache_dir, self.device, self.warn
        given, epochs = self.captures[1], self.plan.epochs
        if isinstance(self.data, DataModule) and not self.objective.rewrites:
            self.cached = load_or_compute(
                self.teacher, given, self.data, self.cache, epochs, *where
            )
        self.teacher.to(self.device, self.dtype_of_features)
        if self.cached is None or self.strong:
            self.shard(self.teacher, watched=bool(given.names))
        for capture in self.captures:
            capture.open()

    def on_train_end(self) -> None:
        for capture in self.captures:
            capture.close()

    @property
    def dtype_of_features(self) -> torch.dtype:
        return next(self.model.parameters()).dtype

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        own, given = self.captures
        if self.objective.rewrites:
            batch = self.objective.rewrite(bare(self.model), self.teacher, batch)
        student = Outputs(self.model(batch.image), own.take(), batch.index)
        with torch.no_grad():
            if self.cached is not None:
                teacher = self.cached(batch.index, self.current_epoch, self.dtype_of_features)
            else:
                teacher = Outputs(self.teacher(batch.image), given.take(), batch.index)
        if self.strong and isinstance(batch, TwoViews):
            student = student._replace(strong=self.model(batch.strong))
            with torch.no_grad():
                teacher = teacher._replace(strong=self.teacher(batch.strong))
        return self.compute_loss(self.objective, student, teacher, batch.target)

    def taught(self, batches: Sequence[Batch]) -> list[Tensor]:
        index = torch.cat([batch.index for batch in batches])
        if self.cached is not None:
            logits = self.cached(index, self.current_epoch, self.dtype_of_features).logits
        else:
            with torch.no_grad():
                logits = self.teacher(torch.cat([batch.image for batch in batches]))
        return list(logits.split([len(batch.index) for batch in batches]))


def build_projectors(
    objective: Objective, student: nn.Module, teacher: nn.Module, images: Tensor
) -> tuple[Capture, Capture]:
    """Let the objective select layers and build its projectors; returns captures of the layers.

    Args:
        images: (n, C, H, W) to run both networks on; batch statistics are not updated.

    Raises:
        ConfigError: a layer that a network does not have, or features that do not fit.
    """
    with evaluating(student), evaluating(teacher):
        objective.select_layers(student, teacher, images)
        own = Capture(student, objective.student_layers, "distill.student_layers")
        given = Capture(teacher, objective.teacher_layers, "distill.teacher_layers")
        with own, given:
            outputs = Outputs(student(images), own.take())
            objective.build_projectors(outputs, Outputs(teacher(images), given.take()))
    return own, given
