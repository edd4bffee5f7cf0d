"""Files that somebody else wrote: what is said of them, and that nothing in them is run."""

from __future__ import annotations

import csv
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from running import QUICK, config_of, run_in

from condenser import report as report_of
from condenser.cli import export, pack, report, sensitivity
from condenser.errors import CondenserError
from condenser.pipeline.reopen import saved_config
from condenser.runs import records

RULE = "a stored file does not decide what code runs"
SCRIPTS = {"export": export, "pack": pack, "sensitivity": sensitivity}
RECORD = {"run": "a", "experiment": "default", "stage": "teacher", "position": 0, "model": "mlp"}


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return config_of(*QUICK)


@pytest.fixture
def run(tmp_path: Path, config: dict[str, Any]) -> Path:
    """A run's folder, as far as scripts read before they build something."""
    folder = tmp_path / "runs/default/a"
    folder.mkdir(parents=True)
    (folder / "records.jsonl").write_text(records.Record(RECORD).line() + "\n")
    (folder / "config.yaml").write_text(
        yaml.safe_dump(
            config | {"runs": (runs := str(tmp_path / "runs")), "store": f"{runs}/.store"}
        )
    )
    return folder


def changed(file: Path, key: str, value: Any) -> None:
    """The file with another value for a dotted key."""
    tree = yaml.safe_load(file.read_text())
    *path, last = key.split(".")
    node = tree
    for word in path:
        node = node[word]
    node[last] = value
    file.write_text(yaml.safe_dump(tree, sort_keys=False))


def said(script: str, *words: object, capsys: pytest.CaptureFixture[str]) -> str:
    """What a script that refuses says after its name: one line."""
    assert SCRIPTS[script].main([str(word) for word in words]) == 1
    answer = capsys.readouterr().err
    assert answer.startswith(f"{script}: ") and answer.count("\n") == 1
    return answer.removeprefix(f"{script}: ").rstrip("\n")


CANARY = "{canary}"
TOUCH = {"_target_": "pathlib.Path.touch", "self": CANARY}
TARGETS: list[tuple[str, Any, str]] = [
    ("optim.optimizer._target_", "os.system", f"optim.optimizer._target_=os.system: {RULE}"),
    (
        "optim.optimizer._target_",
        "torch.load",
        f"optim.optimizer._target_=torch.load: {RULE}; if you know this code, name it: "
        "--trust torch",
    ),
    (
        "distill._target_",
        "sympy.parsing.sympy_parser.parse_expr",
        f"distill._target_=sympy.parsing.sympy_parser.parse_expr: {RULE}; if you know this code, "
        "name it: --trust sympy",
    ),
    (
        "distill._target_",
        "mine.Mimic",
        f"distill._target_=mine.Mimic: {RULE}; if you know this code, name it: --trust mine",
    ),
    ("data.source._target_", "pathlib.Path.touch", f"_target_=pathlib.Path.touch: {RULE}"),
    (
        "data._target_",
        "condenser.config.instantiate.build",
        f"data._target_=condenser.config.instantiate.build: {RULE}, and this is no public class",
    ),
    (
        "data._target_",
        "condenser.files.os.system",
        f"data._target_=condenser.files.os.system: {RULE}, and this is no public class",
    ),
    (
        "data._target_",
        "condenser.models.build",
        f"data._target_=condenser.models.build: {RULE}, and this is no public class",
    ),
    (
        "data._target_",
        "condenser.data.from_torchvision",
        f"data._target_=condenser.data.from_torchvision: {RULE}, and this is no public class",
    ),
    (
        "data._target_",
        "condenser.tracking.WandbTracker",
        f"data._target_=condenser.tracking.WandbTracker: {RULE}, and this is no public class",
    ),
    ("optim.schedule.x", TOUCH, f"optim.schedule.x._target_=pathlib.Path.touch: {RULE}"),
    (
        "recipe.stages",
        ["teacher", {"prune": {"criterion": TOUCH}}],
        f"recipe.stages[1].prune.criterion._target_=pathlib.Path.touch: {RULE}",
    ),
    (
        "optim.optimizer.betas",
        [[TOUCH]],
        f"optim.optimizer.betas[0][0]._target_=pathlib.Path.touch: {RULE}",
    ),
    (
        "optim.optimizer.lr",
        {"_target_": ["os.system"]},
        "optim.optimizer.lr._target_=['os.system']: it must be the dotted path of one class",
    ),
    (
        "optim.optimizer.lr",
        {"_target_": "torch.optim.AdamW.__init__.__globals__"},
        f"torch.optim.AdamW.__init__.__globals__: {RULE}; if you know",
    ),
    (
        "optim.optimizer._args_",
        ["x"],
        f"optim.optimizer._args_=['x']: {RULE}; of such keys it may have _target_, and _partial_",
    ),
    ("optim.optimizer._partial_", "yes", "optim.optimizer._partial_=yes: "),
    ("optim.optimizer._recursive_", False, "optim.optimizer._recursive_=false: "),
    ("optim.optimizer._convert_", "all", "optim.optimizer._convert_=all: "),
    ("optim.optimizer.x", {"_mode_": "get"}, "optim.optimizer.x._mode_=get: "),
    ("hydra", {"run": {"dir": "/tmp"}}, "hydra: no such key"),
    ("trainer.threads", 0, "trainer.threads=0: must be "),
    ("data", "mnist", "data=mnist: must be a mapping"),
]


@pytest.mark.parametrize(("key", "value", "says"), TARGETS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_stored_config_names_only_what_was_vouched_for(
    script: str,
    key: str,
    value: Any,
    says: str,
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    canary = tmp_path / "canary"
    changed(run / "config.yaml", key, json.loads(json.dumps(value).replace(CANARY, str(canary))))
    answer = said(script, run, capsys=capsys)
    assert answer.startswith(f"{run}/config.yaml: ") and says in answer
    assert not canary.exists()


TEXTS: list[tuple[str, Callable[[str], str | bytes], str]] = [
    ("env", lambda t: t + "claim: ${oc.env:HOME}\n", "${oc.env:HOME} is not resolved"),
    ("decode", lambda t: f"x: ${{oc.decode:'1'}}\n{t}", ":1: ${oc.decode:'1'} is not resolved"),
    ("key", lambda t: t + "a: {b: '${seed}'}\n", "${seed} is not resolved; no run writes that"),
    ("missing", lambda t: t + "x: ???\n", "??? is not resolved"),
    ("tag", lambda t: "x: !!python/object/apply:os.system ['true']\n" + t, ":1: the tag tag:yaml"),
    ("path", lambda t: "x: !!python/object/apply:pathlib.Path [a]\n" + t, ":1: the tag tag:yaml"),
    ("binary", lambda t: "x: !!binary aGk=\n" + t, ":1: the tag tag:yaml.org,2002:binary"),
    ("own tag", lambda t: "x: !mine 1\n" + t, ":1: the tag !mine"),
    ("anchor", lambda t: "x: &a [1]\ny: *a\n" + t, ":1: an anchor or alias"),
    ("laughs", lambda t: "a: &a [x,x]\nb: &b [*a,*a]\n" + t, ":1: an anchor or alias"),
    ("merge", lambda t: "x:\n  <<: {a: 1}\n" + t, ":2: << is not resolved"),
    ("twice", lambda t: t + "seed: 1\n", "is no config: found duplicate key seed"),
    ("deep", lambda t: "x: " + "[" * 60 + "]" * 60 + "\n" + t, ":1: nested too deeply"),
    ("abyss", lambda t: "x: " + "[" * 60_000 + "\n" + t, "nest"),
    ("blocks", lambda t: "- " * 5_000 + "x\n", ":1: nested too deeply"),
    ("utf-8", lambda t: b"\xff\xfe" + t.encode(), "is no config: 'utf-8' codec can't decode"),
    ("nul", lambda t: "x: a\0b\n" + t, "is no config: "),
    ("control", lambda t: "x: a\x1b[2Jb\n" + t, "is no config: "),
    ("empty", lambda t: "", "is no config: a mapping is asked for"),
    ("list", lambda t: "[1, 2]\n", "is no config: a mapping is asked for"),
    ("word", lambda t: "hello\n", "is no config: a mapping is asked for"),
    ("two", lambda t: t + "---\n" + t, "is no config: but found another document"),
    ("cut", lambda t: t + "x: [1,\n", "is no config: "),
    ("huge", lambda t: t + "# " + "x" * (1 << 18), "is larger than 262,144 bytes"),
    ("sections", lambda t: "seed: 0\n", "name=: must be a value (none is given)"),
]


@pytest.mark.parametrize(("make", "says"), [t[1:] for t in TEXTS], ids=[t[0] for t in TEXTS])
def test_a_stored_config_is_plain_data(
    make: Callable[[str], str | bytes],
    says: str,
    run: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = run / "config.yaml"
    made = make(file.read_text())
    file.write_bytes(made if isinstance(made, bytes) else made.encode())
    assert pack.main([str(run)]) == 1
    answer = capsys.readouterr().err
    assert answer.startswith(f"pack: {file}") and says in answer and "\x1b" not in answer


ODD: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "device": lambda file: file.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_file_is_not_waited_for(
    kind: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = run / "config.yaml"
    file.unlink()
    ODD[kind](file)
    assert said("pack", run, capsys=capsys) == f"{file} is no regular file"


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_packed_file_is_not_waited_for(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ODD[kind](file := tmp_path / "model.cndp")
    assert pack.main([str(file), "--out", str(tmp_path / "out")]) == 1
    assert str(file) in capsys.readouterr().err


MINE = """
from torch import nn
from os import system

class Mine(nn.Module):
    pass
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "foreign_code.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    return "foreign_code"


def test_trust_is_for_what_a_package_defines(run: Path, mine: str) -> None:
    file = run / "config.yaml"
    changed(file, "distill._target_", f"{mine}.Mine")
    for trusted in ([mine], [f"{mine}.Mine"]):
        assert saved_config(run, trusted)["distill"]["_target_"] == f"{mine}.Mine"
    for trusted in ([], [mine[:-1]], [f"{mine}.Other"]):
        with pytest.raises(Exception, match=RULE):
            saved_config(run, trusted)
    changed(file, "distill._target_", f"{mine}.system")
    with pytest.raises(Exception, match=f"posix.system is not of {mine}"):
        saved_config(run, [mine])
    changed(file, "distill._target_", f"{mine}.nn.Module")
    with pytest.raises(Exception, match="No module named 'foreign_code.nn'"):
        saved_config(run, [mine])
    changed(file, "distill._target_", f"{mine}.Mone")
    with pytest.raises(Exception, match="no class or function Mone in .*did you mean Mine"):
        saved_config(run, [mine])


def test_what_is_not_trusted_is_not_imported(run: Path, tmp_path: Path, mine: str) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "foreign_too.py").write_text(f"open({str(canary)!r}, 'w')\nclass Mine: pass\n")
    changed(run / "config.yaml", "distill._target_", "foreign_too.Mine")
    with pytest.raises(Exception, match=r"--trust foreign_too"):
        saved_config(run, [mine])
    assert not canary.exists()
    saved_config(run, ["foreign_too"])
    assert canary.exists()


def test_a_stored_config_says_not_where_to_write(run: Path, tmp_path: Path) -> None:
    changed(run / "config.yaml", "teacher.cache.folder", str(tmp_path / "elsewhere"))
    assert saved_config(run)["teacher"]["cache"]["folder"] is None
    changed(run / "config.yaml", "store", str(tmp_path / "elsewhere"))
    with pytest.raises(CondenserError, match=r"store=.*elsewhere: there is no such folder"):
        saved_config(run)
    assert not (tmp_path / "elsewhere").exists()


OWN = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, input_shape, num_classes, **_):
        super().__init__(nn.Flatten(), nn.Linear(64, num_classes))
"""


def test_a_run_of_ones_own_network_is_packed_and_unpacked_with_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_net.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    run_in(tmp_path, "recipe=[student]", "student.model._target_=own_net.Net", "data.limit=64")
    made, packed = tmp_path / "default/test", tmp_path / "model.cndp"
    capsys.readouterr()
    assert "--trust own_net" in said("pack", made, capsys=capsys)
    assert pack.main([str(made), "--out", str(packed), "--trust", "own_net"]) == 0
    capsys.readouterr()
    assert "--trust own_net" in said("pack", packed, "--out", tmp_path / "back", capsys=capsys)
    trust = ["--trust", "own_net.Net"]
    assert pack.main([str(packed), "--out", str(tmp_path / "back"), *trust]) == 0


# --- records, and what is made of them

INJECTED = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
LINES: list[tuple[str, str | bytes, str]] = [
    ("nan", '"test/accuracy": NaN', "skipped: NaN: no finite number"),
    ("overflow", '"test/accuracy": 1e999', "skipped: 1e999: no finite number"),
    ("infinity", '"x": -Infinity', "skipped: -Infinity: no finite number"),
    ("twice", '"x": 1, "x": 2', "skipped: x is there twice"),
    ("long", f'"seed": {"9" * 5000}', "skipped: an integer of more than 64 bits"),
    ("65 bits", f'"seed": {1 << 65}', "skipped: an integer of more than 64 bits"),
    ("large", '"x/y": 1e300', "skipped: x/y=1e+300: must be below 1e+30"),
    ("half", '"model": "\\ud800"', "skipped: 'utf-8' codec can't encode"),
    ("utf-8", b'"model": "\xff"', "skipped: 'utf-8' codec can't decode"),
    ("bom", "\ufeff", "skipped: "),
    ("nul", '"model": "a\0"', "skipped: no JSON (Invalid control character"),
    ("deep", '"x": ' + "[" * 100_000, "skipped: nested too deeply"),
    ("nested", '"x": {"a": 1}', "skipped: x={'a': 1}: "),
    ("text", '"test/accuracy": "<b>1</b>"', "skipped: test/accuracy=<b>1</b>: must be a number"),
    ("number", '"model": 3', "skipped: model=3: must be text"),
    ("traversal", '"key": "../../../etc"', "skipped: key=../../../etc: must be a name"),
    ("rooted", '"key": "/etc/x"', "skipped: key=/etc/x: must be a name"),
    ("hidden", '"stage": "../x"', "skipped: stage=../x: must be a name"),
    ("place", '"position": -1', "skipped: position=-1: must be a whole number from 0"),
    ("places", '"position": "0"', "skipped: position=0: must be a number"),
    ("list", "", "skipped: not a record"),
    ("two parts", '"a/b": 2', "skipped: a/b: in the wrong part of the record"),
    ("other part", '"x": 2}, "results": {"y": 1}, "settings": {"z": 2', "skipped: "),
]


@pytest.mark.parametrize(("line", "says"), [t[1:] for t in LINES], ids=[t[0] for t in LINES])
def test_a_line_that_no_run_writes_is_no_record(
    line: str | bytes, says: str, tmp_path: Path
) -> None:
    good = records.Record({"run": "a", "stage": "tune", "position": 1}).line().encode()
    inner = line if isinstance(line, bytes) else line.encode()
    who = b'"run": "b"' + (b', "stage": "x"' if b'"stage"' not in inner else b"")
    measured = b"/" in inner.partition(b":")[0]
    bad = b'{"lineage": {%s%s}, "settings": {"a/b": 1}, "results": {%s}}' % (
        who,
        b"" if measured or inner[:1] in (b"", b"\xef") else b", " + inner,
        inner if measured else b"",
    )
    bad = b"[1]" if not inner else inner + bad if inner[:1] == b"\xef" else bad
    (tmp_path / "records.jsonl").write_bytes(bad + b"\n" + good + b"\n")
    with pytest.warns(records.RecordWarning) as seen:
        found = records.read([tmp_path])
    assert [record["stage"] for record in found] == ["tune"]
    assert says in str(seen[0].message)


@pytest.mark.parametrize("kind", [*ODD, "loop", "huge"])
def test_records_that_are_no_file_are_skipped(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "bad/records.jsonl"
    file.parent.mkdir()
    if kind == "huge":
        with file.open("wb") as made:
            made.truncate(1 << 40)
    else:
        (ODD | {"loop": lambda path: path.symlink_to(path)})[kind](file)
    good = tmp_path / "good/records.jsonl"
    good.parent.mkdir()
    good.write_text(records.Record({"run": "a", "stage": "tune"}).line() + "\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(records.read([tmp_path])) == 1


def test_texts_of_records_are_only_ever_texts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = [
        *(
            INJECTED,
            "=cmd|' /C calc'!A0",
            "[/bold] [link=file:///x]y[/link]",
            "\x1b[2J\x1b]0;x\x07",
        ),
        *(
            "$\\frac{",
            "a|b\n| c |",
            "[x](javascript:alert(1))",
            "\u202eexe.cod",
            "+1+1",
            "@SUM(A1)",
        ),
    ]
    with (tmp_path / "records.jsonl").open("w") as file:
        for number, text in enumerate(hostile):
            record = {
                **dict.fromkeys(("experiment", "claim", "model", "data", "hardware"), text),
                "run": text,
                "stage": "prune",
                "position": 0,
                "group": f"g{number}",
                "seed": 0,
                "prune/method": text,
                "test/accuracy": 0.5,
                "size/file_bytes": 100 + number,
                "latency/ms_b1": 1.0,
                "val/accuracy": 0.5,
                text: text,
            }
            file.write(records.Record(record, ["prune/method"]).line() + "\n")
    assert report.main([str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err and "\u202e" not in shown.out
    page = (tmp_path / report_of.PAGE).read_text()
    assert "<script>alert" not in page and "<img src=x" not in page
    table = (tmp_path / "table.md").read_text()
    assert "<script" not in table and "<img" not in table and "](javascript" not in table
    for name in ("table.csv", "records.csv"):
        for line in csv.reader((tmp_path / name).open(newline="")):
            assert not [cell for cell in line if cell[:1] in ("=", "@") or cell[:2] == "+1"]


def test_an_error_is_printed_without_commands_for_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main([str(tmp_path / "\x1b[2Jx")]) == 2
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("sign", ["\x1b", "\x9b", "\x7f", "\x07", "\r", "\u202e", "\u2066"])
@pytest.mark.parametrize("escaped", [True, False])
def test_no_text_of_a_record_commands_a_terminal(sign: str, escaped: bool, tmp_path: Path) -> None:
    lineage = RECORD | {"model": f"a{sign}b", f"x{sign}": "é – 日本"}
    record = {"lineage": lineage, "settings": {}, "results": {}}
    text = json.dumps(record, ensure_ascii=escaped)
    (tmp_path / "records.jsonl").write_text(text + "\n", encoding="utf-8")
    found = records.read([tmp_path])[0]
    assert found["model"] == "a\ufffdb" and found["x\ufffd"] == "é – 日本"
