"""A finished run read again: its config, checked as what is typed is, and its records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from condenser.config import schema
from condenser.errors import CondenserError, ConfigError, one_of, shown
from condenser.files import CONF
from condenser.outside import trust
from condenser.runs import ownership, records, saved
from condenser.runs.records import Record

MOST = 4  # problems that are named


def saved_config(folder: Path, trusted: Sequence[str] = ()) -> dict[str, Any]:
    """The config that a run wrote beside its records, its paths as seen from here, untracked.

    It is data: checked as what was typed is, and what it would have built is of this package, of
    conf/, or in ``trusted``.

    Raises:
        CondenserError: no folder of a run; or a line for each bad value.
    """
    records.read([folder])  # says what is wrong with a folder that is no run
    file = folder / saved.FILE
    if not file.exists():
        inside = sorted(path.parent.name for path in folder.glob(f"*/{file.name}"))
        which = one_of(inside) if inside else f"with {file.name}"
        raise ConfigError("run", folder, f"a run's folder, {which}")
    ownership.check(folder)
    config = saved.read(file)
    try:
        config["logger"] = {"_target_": "condenser.tracking.CsvTracker"}
        config["export"] = with_defaults(config.get("export"))
        schema.check(config)
        trust.check({key: value for key, value in config.items() if key != "logger"}, trusted)
    except CondenserError as error:
        lines = str(error).splitlines()
        more = [f"and {len(lines) - MOST} more"] * (len(lines) > MOST)
        raise CondenserError(
            "\n".join(f"{file}: {one}" for one in [*lines[:MOST], *more])
        ) from error
    runs = str(folder.resolve().parents[1])  # wherever the caller stands
    if config["store"] == f"{config['runs']}/.store":
        config["store"] = f"{runs}/.store"
    elif not Path(config["store"]).is_dir():
        raise CondenserError(f"{file}: store={shown(config['store'])}: there is no such folder")
    config["teacher"]["cache"]["folder"] = None  # what is read here does not say where to write
    return config | {"runs": runs}


def with_defaults(export: Any) -> Any:
    """The settings of a run's export, and those as shipped that the run is older than."""
    shipped = dict(OmegaConf.load(CONF / "train.yaml").export)
    return shipped | export if isinstance(export, dict) else export


def stored(folder: Path, position: int | None) -> Record:
    """The record of a run's stage at that place; None: of its last, baselines aside."""
    found = records.read([folder])
    if position is None:
        return records.final(found)
    places = {record["position"]: record for record in found}
    if position not in places:
        allowed = ", ".join(sorted(str(place) for place in places))
        raise ConfigError("--position", position, f"one of {allowed}")
    return places[position]
