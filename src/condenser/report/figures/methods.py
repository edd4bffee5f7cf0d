"""Methods over a range of sizes: which rows make a line, where a sweep made lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from condenser.report.analysis import labels
from condenser.report.analysis.settings import setting
from condenser.report.analysis.table import Row

SWEPT = ("rate", "params", "macs", "bits", "count", "energy", "rank_ratio", "threshold")
POINTS = 3  # that make a line
MOST = 24  # lines that a reader can follow
Lines = dict[str, list[Row]]


def lines(rows: Sequence[Row], x: str, y: str) -> dict[str, Lines]:
    """Network → method → its rows by x; only methods that were tried at three sizes or more.

    Nothing where a network has more lines than can be told apart.
    """
    known = [row for row in rows if x in row.mean and y in row.mean]
    found: dict[str, Lines] = defaultdict(lambda: defaultdict(list))
    for row, method in zip(known, methods(known), strict=True):
        found[str(row["model"])][method].append(row)
    kept: dict[str, Lines] = {}
    for model, of_method in found.items():
        long = {m: sorted(r, key=lambda row: row.mean[x]) for m, r in of_method.items()}
        long = {m: r for m, r in long.items() if len({row.mean[x] for row in r}) >= POINTS}
        if 0 < len(long) <= MOST:
            kept[model] = dict(sorted(long.items()))
    return kept


def methods(rows: Sequence[Row]) -> list[str]:
    """A row's stage and what sets it apart, but for how much; yes and no only where it must.

    What earlier stages left in it sets it apart too.
    """
    keys = [key for key in labels.varied(rows) if key.rpartition("/")[2] not in SWEPT]
    whole = [described(row, keys) for row in rows]
    short = [described(row, [k for k in keys if not isinstance(row[k], bool)]) for row in rows]
    clear = len(set(zip(short, whole, strict=True))) == len(set(short))
    return short if clear else whole


def described(row: Row, keys: Sequence[str]) -> str:
    """``prune LAMP``; of a baseline ``prune LAMP random (baseline)``."""
    stage = str(row["stage"])
    own = str(row["baseline/of"]) if stage == "baseline" else stage
    said = [setting(k, row[k]) for k in keys if k.startswith(f"{own}/") and row[k] is not None]
    said += [setting(k, row[k]) for k in keys if _inherited(k, own) and row[k] is not None]
    kind = [f"{row['baseline/kind']} (baseline)"] if stage == "baseline" else []
    return " ".join([own, *said, *kind])


def _inherited(key: str, own: str) -> bool:
    return not key.startswith((f"{own}/", "baseline/"))
