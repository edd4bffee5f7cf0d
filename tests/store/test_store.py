"""The store: an entry is whole or absent, made once, and its key is everything that made it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from places import SRC

from condenser.errors import DamagedError
from condenser.store import StageDir, Store, key_of
from condenser.store.marker import MARKER, claim

KEY = "0123456789abcdef"
SPAWN = multiprocessing.get_context("spawn")


def fill(place: StageDir) -> Mapping[str, Any]:
    (place.folder / "weights").write_bytes(b"1234")
    return {"val/accuracy": 0.5}


# --- keys

INGREDIENTS: dict[str, Any] = {
    "stage": "prune",
    "settings": {"rate": 0.5, "exclude": [], "schedule": {"_target_": "a.b", "floor": None}},
    "data": "abc",
    "seed": 0,
    "parent": "p",
    "teacher": None,
}


def test_a_key_is_the_sha256_of_sorted_json() -> None:
    """printf '{"a": [1, null], "b": {"c": 0.5}}' | sha256sum | head -c 16"""
    assert key_of({"b": {"c": 0.5}, "a": [1, None]}) == "68175c3fa6472299"


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_a_key_is_the_same_in_every_process(hash_seed: str) -> None:
    code = f"from condenser.store import key_of; print(key_of({INGREDIENTS!r}))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(SRC)}
    run = [sys.executable, "-c", code]
    out = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
    backwards = dict(reversed(INGREDIENTS.items()))
    assert out.stdout.strip() == key_of(INGREDIENTS) == key_of(backwards)


def changed(value: Any) -> list[Any]:
    """Everything one change away from ``value``."""
    if isinstance(value, dict):
        inside = [{**value, k: other} for k, v in value.items() for other in changed(v)]
        return [*inside, *({k: value[k] for k in value if k != gone} for gone in value)]
    if isinstance(value, list):
        return [[*value, 1]]
    if isinstance(value, str):
        return [value + "x", None]
    return [1 if value is None else value + 1]


def test_every_ingredient_changes_the_key() -> None:
    others = changed(INGREDIENTS)
    assert len(others) > 15
    keys = {key_of(one) for one in (INGREDIENTS, *others)}
    assert len(keys) == len(others) + 1


# --- entries


def test_an_entry_is_made_once_and_then_found(tmp_path: Path) -> None:
    store, calls = Store(tmp_path / "deep" / "store"), []

    def make(place: StageDir) -> Mapping[str, Any]:
        calls.append(place.folder)
        return fill(place)

    assert store.get("prune", KEY) is None
    entry, reused = store.get_or_make("prune", KEY, make)
    again, reused_again = store.get_or_make("prune", KEY, make)
    assert (reused, reused_again, len(calls)) == (False, True, 1)
    assert entry == again == store.get("prune", KEY)
    assert entry.metrics == {"val/accuracy": 0.5}
    assert entry.file("weights").read_bytes() == b"1234"
    assert store.get("prune", "other") is None
    assert store.get("distill", KEY) is None


def names(root: Path) -> list[str]:
    inside = (path for path in root.iterdir() if path.suffix != ".lock")
    return sorted(path.name for path in inside if path.name != MARKER)


def test_what_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def fails(place: StageDir) -> Mapping[str, Any]:
        fill(place)
        raise RuntimeError("diverged")

    def unwritable(place: StageDir) -> Mapping[str, Any]:
        fill(place)
        return {"a model": object()}

    store = Store(tmp_path)
    for make, error in ((fails, RuntimeError), (unwritable, TypeError)):
        with pytest.raises(error):
            store.get_or_make("prune", KEY, make)
        assert names(tmp_path) == []
        assert store.get("prune", KEY) is None
    assert store.get_or_make("prune", KEY, fill)[0].metrics["val/accuracy"] == 0.5


def test_whoever_sees_an_entry_sees_all_of_it(tmp_path: Path) -> None:
    store, missing, done = Store(tmp_path), list[str](), threading.Event()

    def make(place: StageDir) -> Mapping[str, Any]:
        for i in range(300):
            (place.folder / f"{i}").write_bytes(bytes(1000))
        return {}

    def look() -> None:
        while not done.is_set():
            if entry := store.get("prune", KEY):
                missing.extend(f"{i}" for i in range(300) if not entry.file(f"{i}").is_file())
                return

    onlooker = threading.Thread(target=look)
    onlooker.start()
    store.get_or_make("prune", KEY, make)
    onlooker.join(timeout=10)
    done.set()
    assert missing == []


def test_a_folder_without_facts_is_no_entry(tmp_path: Path) -> None:
    claim(tmp_path)
    (tmp_path / f"prune-{KEY}").mkdir()
    (tmp_path / f"prune-{KEY}" / "old").touch()
    store = Store(tmp_path)
    assert store.get("prune", KEY) is None
    entry, reused = store.get_or_make("prune", KEY, fill)
    assert not reused
    assert names(entry.folder) == ["SHA256SUMS", "record.json", "weights"]


def test_cut_facts_name_their_file(tmp_path: Path) -> None:
    entry = Store(tmp_path).get_or_make("prune", KEY, fill)[0]
    entry.file("record.json").write_text('{"val')
    with pytest.raises(DamagedError, match=f"{entry.folder}: record.json altered; the next run"):
        _ = entry.metrics


# --- several processes


def wanting(root: Path, log: Path, start: Any, found: Any) -> None:
    def make(place: StageDir) -> Mapping[str, Any]:
        with log.open("a") as file:
            file.write("made\n")
        time.sleep(0.3)
        return {"by": os.getpid()}

    start.wait()
    entry, reused = Store(root).get_or_make("teacher", KEY, make)
    metrics = json.loads(entry.file("record.json").read_text())  # `facts` would import torch
    found.put((os.getpid(), reused, metrics["by"]))


def test_two_processes_that_want_one_entry_make_it_once(tmp_path: Path) -> None:
    start, found = SPAWN.Barrier(2), SPAWN.Queue()
    log, root = tmp_path / "log", tmp_path / "store"
    workers = [SPAWN.Process(target=wanting, args=(root, log, start, found)) for _ in range(2)]
    for worker in workers:
        worker.start()
    answers = [found.get(timeout=30) for _ in workers]
    for worker in workers:
        worker.join(timeout=30)
    assert log.read_text() == "made\n"
    (maker,) = [pid for pid, reused, _ in answers if not reused]
    assert {by for *_, by in answers} == {maker}


def endless(root: Path, begun: Any) -> None:
    def make(place: StageDir) -> Mapping[str, Any]:
        fill(place)
        place.checkpoint.write_text("half way")
        begun.set()
        time.sleep(60)
        return {}

    Store(root).get_or_make("teacher", KEY, make)


def test_after_a_kill_the_next_process_goes_on_and_sweeps_up(tmp_path: Path) -> None:
    begun = SPAWN.Event()
    worker = SPAWN.Process(target=endless, args=(tmp_path, begun))
    worker.start()
    assert begun.wait(timeout=30)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(timeout=30)
    store = Store(tmp_path)
    assert store.get("teacher", KEY) is None
    found = []

    def goes_on(place: StageDir) -> Mapping[str, Any]:
        found.append(place.checkpoint.read_text())
        assert list(place.folder.iterdir()) == []
        return fill(place)

    entry, reused = store.get_or_make("teacher", KEY, goes_on)
    assert (reused, found) == (False, ["half way"])
    assert names(tmp_path) == [f"teacher-{KEY}"]
    assert names(entry.folder) == ["SHA256SUMS", "record.json", "weights"]


def test_an_entry_is_as_readable_as_any_folder(tmp_path: Path) -> None:
    """Colleagues share a store; a folder of ``mkdtemp`` would lock them out."""
    entry = Store(tmp_path / "store").get_or_make("prune", KEY, fill)[0]
    (tmp_path / "plain").mkdir()
    assert entry.folder.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_is_in_an_entry_is_as_readable_as_its_folder(tmp_path: Path) -> None:
    def make(place: StageDir) -> Mapping[str, Any]:
        (place.folder / "weights").touch(mode=0o600)  # as safetensors does
        return {}

    entry = Store(tmp_path / "store").get_or_make("prune", KEY, make)[0]
    readable = entry.folder.stat().st_mode & 0o444
    assert {file.stat().st_mode & 0o444 for file in entry.folder.iterdir()} == {readable}
