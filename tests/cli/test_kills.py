"""The long test of kills (``make kills``): what is killed, and when, leaves nothing to see.

Kills follow one another, SIGKILL, SIGTERM, SIGINT in turn, each at another moment: while a run
trains and exports, while ``export.py`` and ``report.py`` work. After each the same command is given
again until it ends; then its weights, records and curves are those of a run nobody disturbed.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from test_interrupts import QUICK, SRC, begun, curves, whole

from condenser.runs import records

KILLS = int(os.environ.get("KILLS", "30"))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
RECIPE = ("recipe=[teacher,distill,prune,quantize,export]", "optim.epochs=40", "prune.rate=0.5")
COMMANDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("train.py", (*RECIPE, *QUICK, "trainer.checkpoint_seconds=0", "data.limit=600")),
    ("export.py", ("runs/default/x", "--stage", "2")),
    ("report.py", ("runs",)),
)
TIMED = ("seconds", "samples_per_second", "latency", "speedup", "/iqr", "memory")


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The records but for what a clock says, and what was there already."""
    beside = ("date", "cost/reused", "key", "parent", "teacher", "group")
    return [
        {k: v for k, v in one.items() if k not in beside and not any(t in k for t in TIMED)}
        for one in records.read([folder / "runs"])
    ]


def weights(folder: Path) -> dict[str, str]:
    """The sha256 of every model that is kept."""
    found = folder.glob("runs/.store/*-*/weights.safetensors")
    return {f.parent.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in found}


def ended(folder: Path, script: str, words: tuple[str, ...]) -> float:
    """Run it to its end; the seconds it took."""
    start = time.monotonic()
    process = begun(folder, *words, script=SRC / script)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    return time.monotonic() - start


@pytest.mark.slow
@pytest.mark.skipif("KILLS" not in os.environ, reason="make kills")
def test_thirty_kills_change_nothing(tmp_path: Path) -> None:
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    calm.mkdir()
    rough.mkdir()
    took = {script: ended(calm, script, words) for script, words in COMMANDS}
    chance, shares = random.Random(0), {"train.py": 0.6, "export.py": 0.2, "report.py": 0.2}
    number = 0
    for script, words in COMMANDS:
        for _ in range(round(KILLS * shares[script])):
            how = SIGNALS[number % 3]
            number += 1
            process = begun(rough, *words, script=SRC / script)
            time.sleep(chance.uniform(0.1, took[script]))
            process.send_signal(how)
            _, said = process.communicate(timeout=60)
            codes = {signal.SIGKILL: (-9, 0)}.get(how, (128 + how, -how, 0))
            assert process.returncode in codes, (how, said)
            if process.returncode == 128 + how:
                assert "interrupted; rerun the same command to resume" in said
                assert said.count("\n") == 1, said
        ended(rough, script, words)
    assert weights(rough) == weights(calm)
    assert metrics(rough) == metrics(calm)
    assert curves(rough / "runs") == curves(calm / "runs")
    assert all(map(whole, curves(rough / "runs").values()))
