"""Train a module with a Lightning trainer."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from condenser.data import Batch, DataModule
from condenser.runs import interrupts, ranks
from condenser.training.distributed import strategies
from condenser.training.distributed.peers import agreed
from condenser.training.progress import Progress
from condenser.training.resume import Resume
from condenser.training.state import State, state_of
from condenser.training.student import Student

BUNDLE = 16  # optimiser steps per Lightning training_step


@dataclass(frozen=True)
class Fit:
    """Result of training: best and last weights, and the cost."""

    best: State
    last: State
    seconds: float
    epochs: int
    best_epoch: int
    samples_per_second: float
    metrics: Mapping[str, Any]

    def costs(self) -> dict[str, float]:
        return {
            "cost/train_seconds": self.seconds,
            "cost/epochs": self.epochs,
            "cost/best_epoch": self.best_epoch,
            "cost/samples_per_second": self.samples_per_second,
        }


class Bundles(Sized):
    """Groups batches into lists of ``size`` for ``Student.training_step``."""

    def __init__(self, batches: Any, size: int) -> None:
        self.batches, self.size = batches, size

    def __len__(self) -> int:
        return -(-len(self.batches) // self.size)

    def __iter__(self) -> Iterator[list[Batch]]:
        bundle: list[Batch] = []
        for batch in self.batches:
            bundle.append(batch)
            if len(bundle) == self.size:
                yield bundle
                bundle = []
        if bundle:
            yield bundle


class Clock(Callback):
    """Seconds in training batches and in total, accumulated over restarts."""

    def __init__(self, limit: float | None = None) -> None:
        self.limit = limit
        self.begun = time.perf_counter()
        self.seconds, self.started, self.earlier = 0.0, 0.0, 0.0

    @property
    def total(self) -> float:
        return self.earlier + time.perf_counter() - self.begun

    def on_train_start(self, *_: Any) -> None:
        interrupts.listen()  # Lightning's own signal handlers do not end the process

    def on_train_epoch_start(self, *_: Any) -> None:
        self.started = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        interrupts.check()

    def on_validation_start(self, *_: Any) -> None:
        self.seconds += time.perf_counter() - self.started

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if self.limit is not None and agreed(self.total >= self.limit):
            trainer.should_stop = True

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self.seconds, "total": self.total}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.seconds, self.earlier = state["seconds"], state["total"]


def fit(
    module: Student,
    trainer: Mapping[str, Any],
    loggers: Sequence[Any] = (),
    progress: Progress | None = None,
    resume: Resume | None = None,
    callbacks: Sequence[Callback] = (),
    max_time: float | None = None,
) -> Fit:
    """Train ``module`` by its plan; returns the best epoch on validation, and the last.

    Args:
        trainer: settings of ``pl.Trainer``; its strategy by name (``distributed.strategies``).
        progress: called every epoch.
        resume: restores and saves the training state.
        callbacks: a person's own.
        max_time: seconds after which training ends with the epoch.
    """
    clock = Clock(max_time)
    ours = [clock, *(one for one in (progress, resume) if one is not None)]
    left = agreed(resume.left() if resume is not None and ranks.first() else None)
    with quiet_lightning():
        running = pl.Trainer(
            max_epochs=module.plan.epochs,
            logger=list(loggers) or False,
            callbacks=[*ours, *callbacks],
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=resume is not None,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            inference_mode=False,
            use_distributed_sampler=False,
            **strategies.settings(trainer, module),
        )
        data = module.data
        assert isinstance(data, DataModule)  # of a person's own loaders the trainer is theirs
        data.trainer, data.part = running, strategies.part(trainer)
        bundle = 1 if strategies.wraps(running) else BUNDLE
        train = Bundles(data.train_dataloader(), bundle)
        running.fit(module, train, data.val_dataloader(), ckpt_path=left, weights_only=True)
    assert module.best.epoch is not None
    return Fit(
        best=module.best.state,
        last=state_of(module.model),
        seconds=clock.total,
        epochs=running.current_epoch,
        best_epoch=module.best.epoch + 1,
        samples_per_second=running.current_epoch * data.train_size / clock.seconds,
        metrics=module.metrics(),
    )


class quiet_lightning(warnings.catch_warnings):
    """Silence Lightning's tips and data loader warnings."""

    def __enter__(self) -> None:  # type: ignore[override]
        super().__enter__()
        warnings.simplefilter("ignore")
        for name in (
            "pytorch_lightning",
            "lightning_fabric",
            "pytorch_lightning.utilities.rank_zero",
            "torch.distributed.tensor._redistribute",  # about sending more than necessary
        ):
            logging.getLogger(name).setLevel(logging.ERROR)
