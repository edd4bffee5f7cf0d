"""The pages of docs/how-to run as they stand, example after example, in an empty folder."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT
from running import config_of, run_in

from condenser.cli import export
from condenser.errors import CondenserError
from condenser.pipeline.plan import make_plan

HOW_TO = ROOT / "docs/how-to"
EXTRAS = {"import datasets": "datasets"}
QUICK = ("data.limit=null", "optim.epochs=1", "trainer.progress=false")


def examples(page: Path) -> Iterator[tuple[str, str]]:
    """(python or command, text), in order."""
    text = page.read_text(encoding="utf-8")
    for code, line in re.findall(
        r"```python\n(.*?)```|^    (python src/[^\n]*)$", text, re.S | re.M
    ):
        yield ("python", code) if code else ("command", line)


def test_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    missing, ran = False, 0
    for kind, text in examples(HOW_TO / "data.md"):
        if kind == "python":
            for word, module in EXTRAS.items():
                if missing := word in text and not pytest.importorskip(module):
                    continue
            if name := re.match(r"# (\w+\.py)\n", text):
                (tmp_path / name[1]).write_text(text)
            else:
                exec(compile(text, "data.md", "exec"), {})
        elif not missing:
            words = [*shlex.split(text)[2:], *QUICK, "recipe=[teacher]"]
            (record,) = run_in(tmp_path / "runs", *words, run=f"number{ran}")
            assert record["stage"] == "teacher" and record["test/accuracy"] is not None
            ran += 1
    assert ran == 7
    sys.modules.pop("blobs", None)


def test_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (_, code), *commands = examples(HOW_TO / "text.md")
    exec(compile(code, "text.md", "exec"), {})
    for number, (_, text) in enumerate(commands):
        words = [word for word in shlex.split(text)[2:] if not word.startswith("run=")]
        quick = (*QUICK, "export.measure=false") if "export" in text else QUICK
        made = run_in(tmp_path / "runs", *words, *quick, run=f"number{number}")
        assert made[0]["test/accuracy"] is not None
    assert number == 2
    bundle = tmp_path / "runs/default/number2/bundle"
    (line,) = re.findall(r"predict.py (.*)", (HOW_TO / "text.md").read_text(encoding="utf-8"))[-1:]
    for words in (shlex.split(line), ["--check"]):
        command = [sys.executable, "predict.py", *words]
        said = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=True)
        assert "%" in said.stdout and ("as recorded" in said.stdout) == (words == ["--check"])


def test_deploy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [shlex.split(text)[1:] for _, text in examples(HOW_TO / "deploy.md")]
    (_, *train), *exports, (_, *own), (_, *budget) = lines
    assert train[-1] == "run=first" and own[0] == "experiment=imagefolder"
    short = ("export.batch=2", "export.measure=false")
    run_in(tmp_path / "runs", *train[:-1], *QUICK[1:], *short, run="first")
    for script, *words in exports:
        assert script == "src/export.py" and export.main(words) == 0
    made = tmp_path / "runs/default/first"
    assert (made / "bundle-onnx-NHWC/model.onnx").is_file()
    assert (tmp_path / "device/predict.py").is_file()
    said = capsys.readouterr().out
    assert re.search(
        r"\ncost   .* training\ngives  .* bytes instead of .*\nlies   .*bundle: ", said
    )
    page = (HOW_TO / "deploy.md").read_text(encoding="utf-8")
    readme = (made / "bundle/README.md").read_text(encoding="utf-8")
    device = re.findall(r"^    (python predict|python -c|sha256sum)(.*)$", page, re.M)
    assert device and all("".join(line) in readme for line in device)
    plan = make_plan(config_of(*budget))
    assert [stage.word for stage in plan.whole[-3:]] == ["cut", "quantize", "export"]
    with pytest.raises(CondenserError, match=r"data.root=FOLDER: must be a folder"):
        run_in(tmp_path / "runs", *own, run="own")
