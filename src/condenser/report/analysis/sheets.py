"""Contact sheets that runs left beside their records: changed answers, maps of attribution."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from condenser.errors import DamagedError
from condenser.files import read_bytes
from condenser.report.analysis.training import labelled
from condenser.runs.records import Record

NAMES = {
    "changed.png": "test images whose answer changed: the label, then the answers before and after",
    "attribution.png": "where the network before looks, and where this one does",
}
SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST, MOST = 1 << 20, 40  # bytes of one; of a report


@dataclass(frozen=True)
class Sheet:
    """A picture of the result of one group's first seed, as a data URI."""

    group: str
    says: str
    source: str


def read(found: Mapping[Path, Iterable[Record]]) -> list[Sheet]:
    """The sheets beside these records.jsonl, of each group's first record; what is no PNG is left
    out."""
    sheets: dict[tuple[str, str], Sheet] = {}
    for file, records in found.items():
        for label, record in labelled(list(records)):
            for name, says in NAMES.items():
                who = str(record.get("group")), name
                if who in sheets or len(sheets) >= MOST:
                    continue
                if picture := png(file.parent / label / name):
                    sheets[who] = Sheet(who[0], says, picture)
    return list(sheets.values())


def png(path: Path) -> str:
    """A PNG file as a data URI; nothing where there is none."""
    try:
        content = read_bytes(path, LARGEST)
    except (OSError, DamagedError):
        return ""
    if not content.startswith(SIGNATURE):
        return ""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
