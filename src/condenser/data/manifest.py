"""A table of image files and labels: CSV, TSV or Parquet."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from condenser.data.arrays import split_places
from condenser.data.extras import EXTRAS
from condenser.data.folder import Transform, from_files, missing
from condenser.data.labels import encoded
from condenser.data.samples import Splits
from condenser.data.tree import WHOLE, Classes
from condenser.errors import ConfigError, DamagedError, shown
from condenser.files import read_bytes

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".tsv", ".parquet")


def manifest(
    root: str | Path | None,
    size: int = 224,
    resize: int = 256,
    mode: Literal["RGB", "L"] = "RGB",
    random: Transform | None = None,
    num_workers: int = 0,
    test_fraction: float = 0.2,
    cache_gib: float = 4.0,
    images: str | Path | None = None,
    classes: Sequence[str] | None = None,
) -> Splits:
    """Columns path and label, and maybe split: train, val, test.

    Args:
        images: the folder that paths start from; None: the table's own.
        classes: names in the order of the logits; None: the distinct labels, sorted.

    The rest, and what is done with the files, is as in ``imagefolder``.

    Raises:
        ConfigError: no such table or columns, a label that is missing or of another type than the
            others, an unknown split.
        DamagedError: the table cannot be read; files that are not there or are no images.
    """
    table = read_table(root)
    labels = encoded(table["label"].to_numpy(dtype=object), classes)
    folder = Path(root or "").expanduser().parent if images is None else Path(images).expanduser()
    paths = table["path"].tolist()
    missing(root, folder, paths)
    numbers = labels.targets.tolist()
    if "split" in table:
        places = {k: v.tolist() for k, v in split_places(table["split"], len(table)).items()}
    else:
        places = {WHOLE: list(range(len(table)))}
    found: dict[str, Classes] = {
        part: {
            name: [paths[row] for row in rows if numbers[row] == number]
            for number, name in enumerate(labels.classes)
        }
        for part, rows in places.items()
    }
    return from_files(
        folder,
        root,
        found,
        size=size,
        resize=resize,
        mode=mode,
        random=random,
        num_workers=num_workers,
        test_fraction=test_fraction,
        cache_gib=cache_gib,
    )


def read_table(root: str | Path | None) -> pd.DataFrame:
    """The table, with columns path and label of text as it stands there.

    Raises:
        ConfigError: there is none, it lacks columns, or what reads it is not installed.
        DamagedError: it is no table.
    """
    import pandas as pd

    path = Path(root or "").expanduser()
    if root is None or not path.is_file() or path.suffix not in SUFFIXES:
        raise ConfigError("data.root", root, f"a table: a file in {', '.join(SUFFIXES)}")
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        hint = f"for Parquet: pip install {EXTRAS['parquet']['pyarrow']}"
        raise ConfigError("data.root", root, ".csv or .tsv with what is installed", hint)
    try:
        content = io.BytesIO(read_bytes(path))
        if path.suffix == ".parquet":
            table = pd.read_parquet(content)
        else:
            sign = "," if path.suffix == ".csv" else "\t"
            table = pd.read_csv(content, sep=sign, dtype=str, keep_default_na=False)
    except Exception as error:  # of damaged bytes the parsers raise what they like
        why = " ".join(str(error).split())[:200]
        raise DamagedError(f"data.root={shown(root)}: no table that can be read: {why}") from error
    table.columns = [str(name).strip().lower() for name in table.columns]
    lacking = [name for name in ("path", "label") if name not in table]
    if lacking or not len(table):
        has = f"it has {len(table):,} rows and the columns {', '.join(table.columns)}"
        allowed = "a table with columns path, label and maybe split"
        raise ConfigError("data.root", root, allowed, has)
    table["path"] = table["path"].astype(str)
    return table
