"""Reads back what an offline W&B run really wrote, from its ``.wandb`` file.

The file is a LevelDB log: 7 bytes of header, then blocks of 32 KiB with chunks of
crc32 | length | type | payload, whose joined payloads are protobuf Records.
https://github.com/google/leveldb/blob/main/doc/log_format.md
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, struct.Struct("<IHB")
FULL, LAST = 1, 4


@dataclass
class WandbFile:
    """One run as W&B will show it."""

    run: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, str] = field(default_factory=dict)
    exit_code: int | None = None

    def rows(self, prefix: str) -> list[dict[str, Any]]:
        """The history rows that hold keys under ``prefix/``, and only those, without prefix."""
        return rows_below(self.history, prefix)


def rows_below(history: Iterable[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    start = f"{prefix}/"
    rows = [
        {key.removeprefix(start): value for key, value in row.items() if key.startswith(start)}
        for row in history
    ]
    return [row for row in rows if row]


def read_run(folder: Path) -> WandbFile:
    """The only run under a folder."""
    (path,) = folder.glob("wandb/*run-*/run-*.wandb")
    return read_file(path)


def read_file(path: Path) -> WandbFile:
    """Everything in one ``.wandb`` file, later records over earlier ones."""
    out = WandbFile()
    for record in parse(path.read_bytes()):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            names = ("run_id", "project", "display_name", "run_group", "job_type", "notes")
            out.run |= {name: getattr(record.run, name) for name in names}
            out.run["tags"] = list(record.run.tags)
            out.config |= values(record.run.config.update)
        elif kind == "config":
            out.config |= values(record.config.update)
        elif kind == "history":
            out.history.append(values(record.history.item))
        elif kind == "summary":
            out.summary |= values(record.summary.update)
        elif kind == "metric":
            metric = record.metric
            out.axes[metric.name or metric.glob_name] = metric.step_metric
        elif kind == "exit":
            out.exit_code = record.exit.exit_code
    return out


def values(items: Iterable[Any]) -> dict[str, Any]:
    """Key and value of each item; a nested key is joined with slashes."""
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def parse(data: bytes) -> Iterator[Any]:
    """The protobuf Records of a file, as far as it was written."""
    import wandb.proto.wandb_internal_pb2 as messages

    assert data[:4] == b":W&B", "no W&B transaction log"
    position, payload = 7, b""
    while position + HEADER.size <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER.size:
            position += left
            continue
        _, length, kind = HEADER.unpack_from(data, position)
        position += HEADER.size
        payload += data[position : position + length]
        position += length
        if kind in (FULL, LAST):
            record = messages.Record()  # type: ignore[attr-defined]
            record.ParseFromString(payload)
            payload = b""
            yield record
