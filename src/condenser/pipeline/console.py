"""What a person sees while a run goes on: a line a stage."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from condenser.errors import printable
from condenser.pipeline.stages import Stage
from condenser.runs import records
from condenser.runs.records import Record

SHOWN = 4  # layers that a line names
CLEAR = "\r\x1b[2K"  # of a terminal's line


class Console:
    """Prints to a terminal, or plain lines to a file; of several processes the first alone."""

    def __init__(self, folder: Path, quiet: bool = False) -> None:
        from rich.console import Console as Rich

        self.rich, self.folder = (
            Rich(highlight=False, markup=False, emoji=False, quiet=quiet),
            folder,
        )
        self.terminal, self.quiet = self.rich.is_terminal and not quiet, quiet

    def working(self, what: str) -> Any:
        return self.rich.status(what) if self.terminal else nullcontext()

    def epoch(self, text: str, over: bool) -> None:
        """Where a training is: on a terminal one line that is drawn over, else a line an epoch."""
        if self.terminal:
            self.rich.file.write(f"{CLEAR}{text[: self.rich.width - 1]}\r")
            self.rich.file.flush()
        elif over:
            self.line(text)

    def clear(self) -> None:
        if self.terminal:
            self.rich.file.write(CLEAR)

    def warn(self, message: str) -> None:
        self.clear()
        self.rich.print(f"warning: {printable(message)}", style="yellow", soft_wrap=True)

    def line(self, text: str) -> None:
        self.clear()
        self.rich.print(printable(text), soft_wrap=True)

    def started(self, stage: Stage) -> None:
        if self.terminal:
            self.rich.print(f"{stage.word} …", end="\r", style="dim")

    def finished(self, record: Record, reused: bool) -> None:
        def number(key: str, form: str) -> str:
            value = record[key]
            return format(value, form) if isinstance(value, int | float) else "–"

        if record.get("search/trial") is not None and not record.get("search/chosen"):
            self.line(
                f"trial {number('search/trial', 'd'):>3} {record['search/settings']:<32} "
                f"val {number('val/accuracy', '7.2%')}  "
                + (
                    f"{number('size/file_bytes', '>10,')} bytes in a file"
                    if record["kind"] == "exports"
                    else f"{number('size/packed_bytes', '>10,')} bytes packed"
                )
            )
            return
        self.clear()
        name = " ".join(str(record[key]) for key in ("stage", "baseline/kind") if record.get(key))
        took = "stored" if reused else f"{number('cost/train_seconds', '.1f')} s"
        self.rich.print(
            f"{name:<9} {record['model']:<14} test {good(record, 'test'):>7}  "
            f"val {good(record, 'val'):>7}  {number('size/nonzero', '>10,')} of "
            f"{number('size/params', '>10,')} weights  "
            f"{number('size/file_bytes', '>10,')} bytes  {took}",
            soft_wrap=True,
        )
        if said := left_alone(record):
            self.line(f"{'':<9} {said}")

    def done(self) -> None:
        self.rich.print(f"records: {self.folder / records.FILE}", style="dim", soft_wrap=True)

    def ending(self, made: Sequence[Record], seconds: float, bundle: Path) -> None:
        """What a run that exports cost, what it gives, and where that lies: a line each."""
        for line in ending(made, seconds, bundle):
            self.line(line)


def ending(made: Sequence[Record], seconds: float, bundle: Path) -> Iterator[str]:
    """Cost, gain and place of the last deployed file, beside the run's first network."""
    file = [record for record in made if record["kind"] == "exports"][-1]
    first, new = made[0], [record for record in made if not record["cost/reused"]]
    trained = [r["cost/train_seconds"] for r in new]
    training = sum(s for s in trained if isinstance(s, int | float))
    stored = f", {len(made) - len(new)} stages from the store" if len(new) < len(made) else ""
    yield f"cost   {duration(seconds)}, {duration(training)} of it training{stored}"
    bytes_of: Any = [record["size/file_bytes"] for record in (file, first)]
    size = f"{bytes_of[0]:,} bytes instead of {bytes_of[1]:,}"
    found = [good(record, "test") for record in (file, first)]
    right = "" if "–" in found else f"{found[0]} on test ({first['model']}: {found[1]}), "
    time = file["latency/ms_b1"]
    speed = f", {time:.3g} ms an input in {file['latency/runtime']}" if time else ""
    yield f"gives  {file['model']}: {right}{size}{speed}"
    yield f"lies   {bundle}: python {bundle / 'predict.py'} INPUT"


def good(record: Record, split: str) -> str:
    """How good a network is on a split: its accuracy, or of a language model its bits a token."""
    nll = record.get(f"{split}/nll")
    if isinstance(record.get("val/nll"), float) and isinstance(nll, float):
        return f"{nll / math.log(2):.3f} bits"
    accuracy = record.get(f"{split}/accuracy")
    return f"{accuracy:.2%}" if isinstance(accuracy, float) else "–"


def duration(seconds: float) -> str:
    """``4 s``, ``2 min 5 s``, ``3 h 12 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def left_alone(record: Record) -> str:
    """What of the network the stage did not touch, and why; empty, if it is all touched."""
    word = record["stage"]
    text, share = record.get(f"{word}/left_alone"), record.get(f"{word}/left_alone_share")
    if not isinstance(text, str) or not isinstance(share, float):
        return ""
    layers = text.split("; ")
    more = f" and {len(layers) - SHOWN} more" if len(layers) > SHOWN else ""
    return f"left alone {share:.1%} of the weights: {', '.join(layers[:SHOWN])}{more}"
