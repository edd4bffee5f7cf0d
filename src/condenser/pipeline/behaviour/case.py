"""A stage's network or deployed file as behaviour is measured on it, beside a reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from condenser import deploy
from condenser.data import DataModule, Normalise
from condenser.data.split import take
from condenser.measure.behaviour.evaluated import Evaluated
from condenser.pipeline.execute import Made
from condenser.pipeline.stages import RunContext
from condenser.pipeline.stages.export import FILE
from condenser.store import Store


@dataclass(frozen=True)
class Case:
    """What a section measures.

    Attributes:
        reference: the network that the run began with, for what is told as a change; None for
            that one itself.
        settings: the section's.
        beside: the section's results for the reference.
    """

    made: Made
    reference: Case | None
    settings: Mapping[str, Any]
    ctx: RunContext
    store: Store
    beside: Mapping[str, Any] | None = None

    @property
    def data(self) -> DataModule:
        return self.ctx.data

    @property
    def file(self) -> Path | None:
        """The deployed file, where the stage wrote one."""
        names = (f"{FILE}{suffix}" for suffix in deploy.SUFFIX.values())
        found = [name for name in names if (self.made.entry.folder / name).exists()]
        return self.made.entry.file(found[0]) if found else None

    @cached_property
    def model(self) -> nn.Module:
        """The network, in eval mode; of a deployed file the one it was made of."""
        return self.made.entry.load(self.ctx.trusted)[1]

    @cached_property
    def evaluated(self) -> Evaluated:
        if self.file is None:
            return Evaluated(self.model, self.normalise)
        session = deploy.session(self.file, self.made.stage.settings["threads"])
        return Evaluated(session, None if session.pixels else self.normalise)

    @property
    def normalise(self) -> Normalise:
        return Normalise(self.data.mean, self.data.std)

    def samples(self, part: str, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """(images as they are stored, targets, indices) of stratified samples of a part: train, val
        or test; all where there are fewer."""
        whole = getattr(self.data.parts, part)
        index = take(whole.targets, count, self.data.split_seed)
        return whole.read(index).cpu(), whole.targets.cpu()[index], index
