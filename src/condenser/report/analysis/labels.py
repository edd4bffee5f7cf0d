"""What tells one row from another, in words: its stage, and the settings that a sweep varies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from functools import lru_cache

from condenser.report.analysis.settings import setting
from condenser.report.analysis.table import Row
from condenser.runs.records import Value

KEPT = 8  # lists of rows whose words are remembered
# Shown with their stage even when nothing varies: without them a row says nothing.
HEADLINES = ("rate", "temperature", "alpha", "params", "macs", "bits", "kind")


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Rows as one reads a recipe: experiment, stage by its place, model, varied settings."""
    depth: dict[Value, float] = defaultdict(float)
    for row in rows:
        depth[row["stage"]] = max(depth[row["stage"]], row.mean.get("position", 0.0))
    keys = varied(rows)

    def place(row: Row) -> tuple[object, ...]:
        stage = str(row["stage"])
        settings = tuple(sortable(row[key]) for key in keys)
        first = row.experiments[:1], depth[stage], stage, str(row["model"])
        return *first, settings, str(row["group"])

    return sorted(rows, key=place)


def varied(rows: Sequence[Row]) -> list[str]:
    """The settings (keys under a stage's name) that differ between rows of one stage.

    Settings a model inherits from earlier stages count too: they tell two quantised models apart.
    Of keys that are only there or not there one is kept: it says "distilled" for all of distill's.
    """
    return list(_varied(frozenset(rows)))


@lru_cache(maxsize=KEPT)
def _varied(rows: frozenset[Row]) -> tuple[str, ...]:
    keys = _settings(rows)
    methods = [f"{key.partition('/')[0]}/method" for key in keys]
    columns = {key: [row[key] for row in rows] for key in dict.fromkeys((*keys, *methods))}
    stages = [row["stage"] for row in rows]
    found: list[str] = []
    presences: set[tuple[bool, ...]] = set()
    for key, method in zip(keys, methods, strict=True):
        column = columns[key]
        if len(set(zip(stages, column, strict=True))) == len(set(stages)):
            continue
        if key != method and _follows(columns[method], column):
            continue
        if len({*column} - {None}) == 1:
            presence = tuple(value is None for value in column)
            if presence in presences:
                continue
            presences.add(presence)
        found.append(key)
    return tuple(found)


def _settings(rows: Collection[Row]) -> list[str]:
    """The settings that all seeds of a row share: methods first, then headlines, then by name."""
    keys = dict.fromkeys(key for row in rows for record in row.records for key in record.settings)
    found = [k for k in keys if k.partition("/")[2] != "seed" and not _says_model(k, rows)]
    moved = {key for row in rows for key in _moved(row)}
    return sorted(
        set(found) - moved, key=lambda key: (not key.endswith("/method"), _headline(key), key)
    )


def _moved(row: Row) -> set[str]:
    """The settings in which a row's seeds differ."""
    first, *others = row.records
    apart = {k for one in others for k, _ in one.settings.items() ^ first.settings.items()}
    return {key for key in apart if any(one.get(key) != first.get(key) for one in others)}


def _headline(key: str) -> int:
    """Its place among the headlines; an objective's within another is none."""
    leaf = key.partition("/")[2]
    return HEADLINES.index(leaf) if leaf in HEADLINES else len(HEADLINES)


def headlines(rows: Sequence[Row]) -> list[str]:
    """The keys of headlines that these rows have, in their order."""
    keys = dict.fromkeys(key for row in rows for key in row.records[0].settings)
    return sorted((k for k in keys if _headline(k) < len(HEADLINES)), key=_headline)


def _follows(methods: Sequence[Value], column: Sequence[Value]) -> bool:
    """Whether the stage's method says it: each of several methods has its own value of it."""
    pairs = set(zip(methods, column, strict=True))
    names = {method for method, _ in pairs}
    return len(names - {None}) > 1 and len(pairs) == len(names)


def _says_model(key: str, rows: Collection[Row]) -> bool:
    """Whether the model's name says it, as of teacher/model/depth where names differ too."""
    if "model" not in key.split("/"):
        return False
    pairs = {(row["model"], row[key]) for row in rows if row[key] is not None}
    return len(pairs) == len({name for name, _ in pairs})


def stage_names(rows: Sequence[Row]) -> list[str]:
    """One text a row: the stage with its own settings, ``prune 80 %``, ``distill T=4 α=0.1``.

    Rows that would still read the same carry the start of their group, ``prune 80 % #3f2a``.
    """
    return list(_stage_names(tuple(rows)))


@lru_cache(maxsize=KEPT)
def _stage_names(rows: tuple[Row, ...]) -> tuple[str, ...]:
    keys = varied(rows)
    shown = list(dict.fromkeys((*keys, *headlines(rows))))  # what varies first
    values: dict[tuple[Value, str], set[Value]] = defaultdict(set)
    for row in rows:
        for key in keys:
            values[row["stage"], key].add(row[key])
    of_stage = {
        stage: [k for k in shown if len(values[stage, k]) > 1 or _headline(k) < len(HEADLINES)]
        for stage in {row["stage"] for row in rows}
    }
    names = [_stage_name(row, of_stage[row["stage"]]) for row in rows]
    same = Counter(_identity(row, name, keys) for row, name in zip(rows, names, strict=True))
    return tuple(
        f"{name} #{str(row['group'])[:4]}" if same[_identity(row, name, keys)] > 1 else name
        for row, name in zip(rows, names, strict=True)
    )


def _stage_name(row: Row, keys: Sequence[str]) -> str:
    stage = str(row["stage"])
    own = [key for key in keys if key.startswith(f"{stage}/") and row[key] is not None]
    return " ".join([stage, *(setting(key, row[key]) for key in own)])


def _identity(row: Row, name: str, keys: Sequence[str]) -> tuple[object, ...]:
    return row.experiments, row["data"], row["model"], name, *(row[key] for key in keys)


def full_names(rows: Sequence[Row]) -> list[str]:
    """One text a row that stands alone beside a point: model and stage, then what it inherits."""
    keys = varied(rows)
    names = []
    for row, name in zip(rows, stage_names(rows), strict=True):
        carried = [k for k in keys if not k.startswith(f"{row['stage']}/") and row[k] is not None]
        stages = {key: key.partition("/")[0] for key in carried}
        parts = [
            " ".join([stage, *(setting(k, row[k]) for k in carried if stages[k] == stage)])
            for stage in dict.fromkeys(stages.values())
        ]
        names.append("\n".join([f"{row['model']} {name}", *([", ".join(parts)] if parts else [])]))
    return names


def sortable(value: Value) -> tuple[int, float, str]:
    if value is None:
        return 0, 0.0, ""
    return (2, 0.0, value) if isinstance(value, str) else (1, float(value), "")
