"""python src/store.py: what is kept, for whom, whether it is whole; and a store in trouble."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from places import SRC

from condenser.cli import store as command
from condenser.errors import CondenserError
from condenser.runs import records
from condenser.runs.records import Record
from condenser.store import Entry, StageDir, Store, key_of, stored_at
from condenser.store.lock import hold
from condenser.store.marker import MARKER

WEIGHTS = bytes(range(200))


def ingredients(stage: str, **more: Any) -> dict[str, Any]:
    base = {"version": 3, "stage": stage, "settings": {"optim": {"lr": 0.1}}, "seed": 0}
    return {**base, "parent": None, "teacher": None, **more}


def put(root: Path, stage: str, accuracy: float = 0.5, **more: Any) -> Entry:
    """An entry as a stage leaves it, but for what is in the network."""

    def make(place: StageDir) -> Mapping[str, Any]:
        (place.folder / "weights.safetensors").write_bytes(WEIGHTS)
        model = {"architecture": {"_target_": "condenser.models.LeNet5"}}
        model |= {"weights_sha256": hashlib.sha256(WEIGHTS).hexdigest()}
        (place.folder / "model.json").write_text(json.dumps(model))
        return {"test/accuracy": accuracy, "date": f"2026-01-0{1 + int(accuracy * 8)}T10:11:12"}

    made, store = ingredients(stage, **more), Store(root)
    entry, _ = store.get_or_make(stage, key_of(made), make, made)
    store.close()
    return entry


def named(folder: Path, run: str, *entries: tuple[str, Entry]) -> None:
    """A run whose records name these entries as their own."""
    lines = [
        Record(
            {"run": run, "experiment": "demo", "stage": stage, "position": i, "model": "lenet5"}
            | {"key": entry.key}
        )
        for i, (stage, entry) in enumerate(entries)
    ]
    records.write(folder / "demo" / run, lines)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Teacher → distill → prune of one run, and a student that no run names."""
    root = tmp_path / "runs/.store"
    teacher = put(root, "teacher", 0.99)
    distill = put(root, "distill", 0.25, teacher=teacher.key)
    prune = put(root, "prune", 0.75, parent=distill.key, teacher=teacher.key)
    put(root, "student", 0.125)
    named(tmp_path / "runs", "a", ("teacher", teacher), ("distill", distill), ("prune", prune))
    named(tmp_path / "runs", "b", ("teacher", teacher))
    return tmp_path / "runs"


def key(runs: Path, stage: str) -> str:
    (folder,) = (runs / ".store").glob(f"{stage}-*[0-9a-f]")
    return folder.name.rpartition("-")[2]


def folder(runs: Path, stage: str) -> Path:
    return runs / ".store" / f"{stage}-{key(runs, stage)}"


@pytest.fixture
def ask(runs: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Exit status, stdout and stderr of the command."""

    def call(verb: str, *words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        sure = ["--yes"] if verb == "rm" else []
        status = command.main([verb, *words, "--store", str(runs / ".store"), *sure])
        return (status, *capsys.readouterr())

    return call


def test_ls_says_what_is_kept_and_for_whom(runs: Path, ask: Any) -> None:
    status, said, _ = ask("ls")
    head, *lines, in_all, unused = said.splitlines()
    cells = [line.split() for line in lines]
    assert status == 0 and head.split()[:4] == ["stage", "key", "model", "test"]
    assert [line[:4] for line in cells] == [
        ["student", key(runs, "student"), "LeNet5", "12.50%"],
        ["distill", key(runs, "distill"), "lenet5", "25.00%"],
        ["prune", key(runs, "prune"), "lenet5", "75.00%"],
        ["teacher", key(runs, "teacher"), "lenet5", "99.00%"],
    ]
    assert lines[-1].endswith("2026-01-08 10:11  demo/a, demo/b") and "no run" in said
    size = sum(f.stat().st_size for f in (runs / ".store").glob("*/*"))
    assert in_all == f"4 entries, {size:,} bytes" and unused.startswith("no run names 1, ")


def test_show_tells_settings_facts_and_lineage(runs: Path, ask: Any) -> None:
    status, said, _ = ask("show", key(runs, "prune")[:6])
    teacher, distill = (f"{s}-{key(runs, s)}" for s in ("teacher", "distill"))
    assert status == 0 and said.splitlines()[0].endswith("intact")
    assert f"  parent  {distill}  lenet5  25.00%\n    teacher  {teacher}  lenet5  99.00%" in said
    assert "  optim.lr = 0.1\n" in said and "  test/accuracy = 0.75\n" in said
    assert said.count(teacher) == 1 and "  demo/a\n" in said


def test_sums_are_those_of_sha256sum(runs: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=folder(runs, "prune"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stdout.count(": OK") == 4


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights": (lambda f: flip(f / "weights.safetensors"), "weights.safetensors altered"),
    "facts": (lambda f: flip(f / "record.json"), "record.json altered"),
    "a file gone": (lambda f: (f / "model.json").unlink(), "model.json missing"),
    "a file more": (lambda f: (f / "other.onnx").touch(), "other.onnx unknown"),
    "sums": (lambda f: (f / "SHA256SUMS").write_text("no sums"), "SHA256SUMS altered"),
    "another key": (lambda f: f.rename(f.with_name("prune-0123456789abcdef")), "is not the key"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_verify_finds_damage(kind: str, runs: Path, ask: Any) -> None:
    assert ask("verify")[:2] == (0, "4 entries: 4 intact\n")
    damage, expected = DAMAGE[kind]
    damage(folder(runs, "prune"))
    status, said, _ = ask("verify")
    assert status == 1 and expected in said.splitlines()[0]
    assert "4 entries: 3 intact, 1 damaged" in said
    assert "rm --damaged" in said
    assert ask("rm", "--damaged")[1].startswith("prune-")
    assert ask("verify")[:2] == (0, "3 entries: 3 intact\n")


def test_old_entries_are_unverified_until_something_speaks_against_them(
    runs: Path, ask: Any
) -> None:
    old = folder(runs, "prune")
    (old / "SHA256SUMS").unlink()
    (old / "ingredients.json").unlink()
    assert ask("verify")[:2][0] == 0 and f"{old.name}  unverified\n" in ask("verify")[1]
    assert Store(runs / ".store").get("prune", old.name[6:]) is None  # nothing can be told of it
    assert "unverified" in ask("show", old.name)[1]
    flip(old / "weights.safetensors")
    assert "weights.safetensors altered" in ask("verify", old.name)[1]


def test_ls_sees_a_missing_file_without_reading_any(runs: Path, ask: Any) -> None:
    (folder(runs, "prune") / "weights.safetensors").unlink()
    assert "damaged: weights.safetensors missing" in ask("ls")[1]


def test_rm_takes_what_its_first_letters_name(runs: Path, ask: Any) -> None:
    gone = folder(runs, "distill")
    status, said, _ = ask("rm", gone.name[8:14], "--dry-run")
    assert status == 0 and "would be free" in said and gone.is_dir()
    status, said, _ = ask("rm", gone.name[8:14])
    assert status == 0 and said.startswith(f"{gone.name}  ") and "named by demo/a" in said
    assert not gone.exists() and len(ask("ls")[1].splitlines()) == 6
    assert [p.name for p in (runs / ".store").iterdir() if p.name.startswith(".")] == [MARKER]


def test_rm_unused_spares_what_any_run_names(runs: Path, ask: Any) -> None:
    student = folder(runs, "student")
    assert student.name in ask("rm", "--unused", "--dry-run")[1] and student.is_dir()
    status, said, _ = ask("rm", "--unused")
    assert status == 0 and student.name in said and not student.exists()
    assert all(folder(runs, stage).is_dir() for stage in ("teacher", "distill", "prune"))
    assert ask("rm", "--unused")[1] == "nothing was removed\n"


def test_rm_leaves_what_somebody_works_with(runs: Path, ask: Any) -> None:
    """A run holds the entries that it was given, in whatever process it is."""
    code = """
import sys
from pathlib import Path
from condenser.store import Store
store = Store(Path(sys.argv[1]))
assert store.get("student", sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""
    student = folder(runs, "student")
    words = [sys.executable, "-c", code, str(runs / ".store"), key(runs, "student")]
    with subprocess.Popen(
        words, env={"PYTHONPATH": str(SRC)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as user:
        assert user.stdout is not None and user.stdout.readline() == b"held\n"
        status, said, complained = ask("rm", "--unused", key(runs, "prune"))
        assert status == 1 and complained == (
            f"store: {student.name}: a run works with it; nothing of it was removed\n"
        )
        assert student.is_dir() and "prune-" in said and ask("verify", student.name)[0] == 0
        user.communicate()
    assert ask("rm", "--unused")[0] == 0 and not student.exists()


def test_rm_leaves_what_is_being_made(runs: Path, ask: Any) -> None:
    from filelock import FileLock

    root, prune = runs / ".store", folder(runs, "prune")
    new, old = "prune-" + "1234" * 4, "student-" + "5678" * 4
    for name in (f".{new}", f".{old}.ckpt", f".gone-{old}-17"):
        (root / name).write_text("half")
    with FileLock(root / f"{new}.lock"), FileLock(root / f"{prune.name}.lock"):
        assert "left by runs that stopped, or damaged: 3, 12 bytes" in ask("ls")[1]
        status, said, complained = ask("rm", "--leftovers", prune.name)
        assert status == 1 and complained.count("a run is making it just now") == 2
        assert "8 bytes are free" in said
        assert (root / f".{new}").exists() and prune.is_dir()
    assert ask("rm", "--leftovers")[0] == 0
    assert [path.name for path in root.iterdir() if path.name.startswith(".")] == [MARKER]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "0000"), "0000: no such key"),
        (("show", "prune-zzzz"), "prune-zzzz: no such key"),
        (("show", "ab"), "ab: must be a key, or its first 4 letters or more"),
        (("show", "prune"), "prune: no such key in the store"),
        (("rm",), "rm=nothing: must be keys, --unused, --damaged or --left"),
        (("ls", "--runs"), "expected at least one argument"),
    ],
)
def test_mistakes_are_told_in_a_line(
    words: tuple[str, ...], said: str, ask: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status, _, complained = ask(*words)
    except SystemExit as exit:  # of argparse
        status, complained = exit.code, capsys.readouterr().err.splitlines()[-1] + "\n"
    assert status in (1, 2) and said in complained and complained.count("\n") == 1


def test_an_ambiguous_key_names_its_entries(runs: Path, ask: Any) -> None:
    root = runs / ".store"
    for stage in ("prune", "distill"):
        folder(runs, stage).rename(
            root / f"{stage}-77770000{'a' if stage == 'prune' else 'b'}0000000"
        )
    status, _, complained = ask("rm", "7777")
    assert status == 1 and "names 2 entries: distill-7777" in complained
    assert ask("rm", "77770000a", "--dry-run")[0] == 0


def test_no_store_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["ls", "--store", str(tmp_path / "none")]) == 1
    assert (
        capsys.readouterr().err
        == f"store: {tmp_path / 'none'}: no store there; name one with --store\n"
    )


# --- a store in trouble


def test_a_full_disk_loses_nothing(runs: Path) -> None:
    """/dev/full is a disk without room."""
    store = Store(runs / ".store")

    def make(place: StageDir) -> Mapping[str, Any]:
        place.checkpoint.write_text("half way")
        (place.folder / "weights.safetensors").symlink_to("/dev/full")
        (place.folder / "weights.safetensors").write_bytes(WEIGHTS)
        return {}

    with pytest.raises(CondenserError, match="the disk is full; what was finished is kept"):
        store.get_or_make("prune", "new", make)
    assert store.get("prune", "new") is None
    assert (runs / ".store/.prune-new.ckpt").read_text() == "half way"
    assert not (runs / ".store/.prune-new").exists()


def test_a_store_that_cannot_be_written_is_read(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write anywhere, so what the system says of the folder is put in its mouth."""

    root, warned = runs / ".store", list[str]()
    monkeypatch.setattr("condenser.store.storage.writable", lambda folder: folder != root)
    store = Store(root, tmp_path / "mine/.store", warned.append)
    prune = key(runs, "prune")
    assert store.get_or_make("prune", prune, lambda place: {})[0].folder == folder(runs, "prune")
    assert warned == []
    for name in ("one", "two"):
        entry, reused = store.get_or_make("prune", name, lambda place: {"by": 1})
        assert (entry.folder.parent, reused) == (tmp_path / "mine/.store", False)
    assert len(warned) == 1 and "new results go to" in warned[0]
    config = {"store": str(root), "runs": str(tmp_path / "mine")}
    spare = entry.folder.with_name("prune-one")
    assert stored_at(config, {"stage": "prune", "key": "one"}).folder == spare
    assert stored_at(config, {"stage": "prune", "key": prune}).folder == folder(runs, "prune")


def test_a_store_that_cannot_be_written_is_named(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("condenser.store.lock.FileLock", refuse)
    with pytest.raises(CondenserError, match=r"cannot be written \(read-only file system\): name"):
        Store(runs / ".store").get_or_make("prune", "new", lambda place: {})

    below = runs / "file/.store"
    below.parent.write_text("")
    with pytest.raises(CondenserError, match=r"cannot be written \(not a directory\): name"):
        Store(below).get_or_make("prune", "new", lambda place: {})

    def elsewhere(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/another/file")

    monkeypatch.setattr("condenser.store.lock.FileLock", elsewhere)
    with pytest.raises(PermissionError):
        Store(runs / ".store").get_or_make("prune", "new", lambda place: {})


def test_what_was_held_and_is_gone_is_not_handed_out(runs: Path) -> None:
    store, student = Store(runs / ".store"), folder(runs, "student")
    metrics = student / "record.json"
    held = hold(metrics)
    assert held is not None
    student.rename(student.with_name(".gone-x"))
    assert hold(metrics) is None and store.get("student", student.name[8:]) is None
    held.close()


def test_it_answers_before_torch_is_loaded() -> None:
    code = "import sys, store; print({'torch', 'rich', 'hydra', 'pydantic'} & set(sys.modules))"
    run = [sys.executable, "-c", code]
    out = subprocess.run(run, env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True)
    assert (out.stdout, out.stderr) == ("set()\n", "")


# --- what rm may touch


def test_rm_lists_and_asks(runs: Path, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    student, asked = folder(runs, "student"), list[str]()
    words = ["rm", student.name, "--store", str(runs / ".store")]
    size = sum(file.stat().st_size for file in student.iterdir())
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer, stays in (("", True), ("n", True), ("y", False)):

        def said(question: str, answer: str = answer) -> str:
            asked.append(question)
            return answer

        monkeypatch.setattr("builtins.input", said)
        assert command.main(words) == 0 and student.is_dir() == stays
    assert asked == [f"remove these 1, {size:,} bytes? [y/N] "] * 3


def test_rm_without_a_terminal_removes_nothing(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(runs.rglob("*"))
    assert command.main(["rm", "--unused", "--store", str(runs / ".store")]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(folder(runs, "student").name)
    assert err == "store: rm asks before it removes; --yes where nobody can answer\n"
    assert sorted(runs.rglob("*")) == before


def test_rm_touches_only_entries_and_what_a_killed_run_leaves(runs: Path, ask: Any) -> None:
    """By name and content; and no link is followed out of the store."""
    root, mine = runs / ".store", runs.parent / "mine"
    shutil.copytree(folder(runs, "student"), mine)
    others = ["notes-of-mine/record.json", "prune-0123456789abcdef/thesis.tex", "a-b/c", ".git/x"]
    others += [".prune-0123456789abcdeg.ckpt", ".hidden", "share-zzzzzzzzzzzzzzzz/record.json"]
    for name in others:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("mine")
    (root / "student-00000000000000aa").symlink_to(mine)
    (root / ".student-00000000000000aa").symlink_to(mine)
    (root / ".gone-student-00000000000000aa-9").mkdir()
    (root / ".gone-student-00000000000000aa-9/link").symlink_to(mine)
    (root / ".damaged-student-00000000000000aa-01234567").mkdir()
    kept = {path for name in others for path in (root / name, (root / name).parent)}
    status, said, _ = ask("rm", "--unused", "--damaged", "--leftovers")
    assert status == 0 and len(said.splitlines()) == 5
    assert all(path.exists() for path in kept) and len(list(mine.iterdir())) == 5
    assert not list(root.glob(".*student*")) and (root / "student-00000000000000aa").is_symlink()


def test_an_old_store_is_marked_by_the_next_run_with_it(runs: Path, tmp_path: Path) -> None:
    root = runs / ".store"
    words = ["rm", "--leftovers", "--yes", "--store", str(root)]
    (root / MARKER).unlink()
    assert command.main(words) == 1 and command.main(["ls", "--store", str(root)]) == 0
    put(root, "share")
    assert command.main(words) == 0
    (root / MARKER).unlink()
    (root / "thesis").mkdir()
    with pytest.raises(CondenserError, match="must be a store, or a new or empty folder; thes"):
        put(root, "merge")
    usual = Store(root, root)  # where its runs keep their own
    usual.get_or_make("merge", "0123456789abcdef", lambda place: {})
    assert command.main(words) == 0
