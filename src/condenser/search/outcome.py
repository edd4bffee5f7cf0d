"""Report a search: a JSON file, text lines, and marks in the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from condenser.errors import CondenserError
from condenser.files import write_json
from condenser.runs import records

if TYPE_CHECKING:  # whose keys these are can be told without Optuna
    from condenser.search.study import Search, Trial

TRIAL, FRONT = "search/trial", "search/front"  # record keys; trials count from 1


def write(path: Path, search: Search, keys: Sequence[str]) -> None:
    """Write all trials as JSON, atomically."""
    best = {trial.number for trial in search.front()}
    listed = [
        {
            "trial": trial.number + 1,
            "state": trial.state,
            "front": trial.number in best,
            "run": trial.run,
            "params": dict(trial.params),
            **dict(zip(keys, trial.values or (), strict=False)),
            **({"reason": trial.reason} if trial.reason else {}),
        }
        for trial in search.trials
    ]
    try:
        write_json(path, {"objectives": list(keys), "trials": listed})
    except OSError as error:
        raise CondenserError(f"{path}: cannot be written: {error.strerror}") from error


def mark(search: Search, folder: Path) -> None:
    """Mark the last record of each run in ``folder`` with its trial number and whether it is
    Pareto-optimal."""
    best = {trial.number for trial in search.front()}
    for trial in search.trials:
        if trial.state != "done" or trial.run is None:
            continue
        run = folder / trial.run
        if not (run / records.FILE).is_file():
            continue  # deleted meanwhile
        found = records.read([run / records.FILE])
        last = records.final(found)
        marks = {TRIAL: trial.number + 1, FRONT: trial.number in best}
        if {key: last.get(key) for key in marks} != marks:
            records.write(run, [r.adding(marks) if r is last else r for r in found])


def shown(params: Mapping[str, Any]) -> str:
    """``prune.rate=0.83 share.bits=4``."""
    return " ".join(f"{key}={text(value)}" for key, value in params.items())


def text(value: Any) -> str:
    """A value as typed on the command line."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def measured(keys: Sequence[str], values: Sequence[float]) -> str:
    """``val/accuracy 0.9712  size/packed_bytes 8,123``."""
    return "  ".join(f"{key} {number(v)}" for key, v in zip(keys, values, strict=True))


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.4g}"


def line(trial: Trial, keys: Sequence[str]) -> str:
    """One line per trial: settings and results."""
    came = measured(keys, trial.values) if trial.values else f"{trial.state}: {trial.reason}"
    return f"{shown(trial.params)}  {came}"
