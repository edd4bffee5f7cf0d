"""Tasks: what logits mean, with the losses, decisions and the metric that chooses a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from condenser.errors import UnknownError
from condenser.tasks.base import NOTHING, Task
from condenser.tasks.classes import Binary, Multiclass, Multilabel
from condenser.tasks.ranking import Ranking
from condenser.tasks.tokens import TokenPrediction, Translation
from condenser.tasks.vocabulary import BOS, EOS, PAD, UNK, Vocabulary

__all__ = [
    "BOS",
    "EOS",
    "EVERY",
    "NOTHING",
    "PAD",
    "TASKS",
    "UNK",
    "Binary",
    "Multiclass",
    "Multilabel",
    "Ranking",
    "Task",
    "TokenPrediction",
    "Translation",
    "Vocabulary",
    "merit",
    "task_of",
]

KINDS = (Multiclass, Binary, Multilabel, TokenPrediction, Translation, Ranking)
TASKS: dict[str, type[Task]] = {task.word: task for task in KINDS}
EVERY = (Multiclass.word, Binary.word, Multilabel.word)  # that decisions may be


def merit(metrics: Mapping[str, Any]) -> float | None:
    """Of a record, what its task chooses by on validation, more being better."""
    for task in TASKS.values():
        if task.chosen != Task.chosen and (found := metrics.get(f"val/{task.chosen}")) is not None:
            return task.sign * float(found)
    return metrics["val/accuracy"]


def task_of(word: str, outputs: int) -> Task:
    """The task named by a data set, for this number of logits.

    Raises:
        ConfigError: an unknown task, or a binary one with several outputs.
    """
    if word not in TASKS:
        raise UnknownError("data.task", word, TASKS)
    return TASKS[word](outputs)
