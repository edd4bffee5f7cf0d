"""A stage of one's own: a class in a module of the user's, and a section of the config."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from places import SRC
from running import config_of

from condenser.config import schema
from condenser.errors import CondenserError
from condenser.pipeline.plan import make_plan
from condenser.runs import records

MINE = """
from condenser.pipeline.stages import Stage, StageResult

class Freeze(Stage):
    word, kind, takes_model = "freeze", "masks", True

    def ingredients(self):
        return {"layers": self.settings["layers"]}

    def check(self, ctx):
        pass

    def run(self, ctx, inputs, place):
        spec, model = inputs.source.load(ctx.trusted)
        return StageResult(spec, model, {"freeze/frozen": self.settings["layers"]})

class Half(Stage):
    word = "half"
"""
WORDS = ["recipe=[teacher,freeze,export]", "+freeze._target_=zq_mine.Freeze", "+freeze.layers=1"]
WORDS += ["debug=fast", "logger=csv", "trainer.threads=1", "trainer.accelerator=cpu", "run=r"]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "zq_mine.py"
    file.write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "zq_mine", raising=False)
    return file


def typed(folder: Path, script: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SRC / script), *words]
    env = {"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
    )


def test_a_stage_from_outside_is_run_stored_recorded_and_reported(mine: Path) -> None:
    folder = mine.parent
    first = typed(folder, "train.py", *WORDS)
    assert first.returncode == 0, first.stderr
    where = folder / "runs/default/r"
    _, frozen, exported = records.read([where])
    assert (frozen["stage"], frozen["kind"], frozen["freeze/layers"]) == ("freeze", "masks", 1)
    assert frozen["freeze/frozen"] == 1
    assert str(frozen["code"]).startswith("zq_mine ")
    assert exported["parent"] == frozen["key"]
    again = typed(folder, "train.py", *WORDS)
    assert again.returncode == 0, again.stderr
    assert all(record["cost/reused"] for record in records.read([where]))
    mine.write_text(MINE.replace('{"freeze/frozen"', '{"freeze/still": 2, "freeze/frozen"'))
    assert typed(folder, "train.py", *WORDS).returncode == 0
    teacher, edited, _ = records.read([where])
    assert teacher["cost/reused"]
    assert not edited["cost/reused"]
    assert edited["key"] != frozen["key"]
    page = typed(folder, "report.py", "runs/default")
    assert page.returncode == 0, page.stderr
    assert "freeze" in page.stdout


@pytest.mark.parametrize(
    ("word", "target", "said"),
    [
        ("freeze", "zq_mine.Freez", r"^freeze._target_=zq_mine.Freez: must be .*has no attribute"),
        ("freeze", "zq_none.Freeze", r"^freeze._target_=zq_none.Freeze: .*No module named"),
        ("freeze", "builtins.dict", r"^freeze._target_=.*a condenser.pipeline.stages.Stage whose"),
        ("froze", "zq_mine.Freeze", r"^froze._target_=zq_mine.Freeze: must be .*word is froze"),
        (
            "half",
            "zq_mine.Half",
            r"^half._target_=zq_mine.Half: .*lacks check, ingredients, run",
        ),
    ],
)
def test_what_is_no_stage_is_told_in_a_line(mine: Path, word: str, target: str, said: str) -> None:
    config = config_of(f"recipe=[teacher,{word}]", f"+{word}._target_={target}")
    schema.check(config)
    with pytest.raises(CondenserError, match=said) as error:
        make_plan(config)
    assert "\n" not in str(error.value)


def test_a_section_that_no_recipe_names_is_unknown(mine: Path) -> None:
    config = config_of("recipe=[teacher]", "+freeze._target_=zq_mine.Freeze")
    with pytest.raises(CondenserError, match="freeze: no such key"):
        schema.check(config)


def test_an_entry_overrides_it_as_any_stage(mine: Path) -> None:
    config = config_of("recipe=[teacher]", "+freeze._target_=zq_mine.Freeze", "+freeze.layers=1")
    config["recipe"]["stages"] = ["teacher", {"freeze": {"layers": 3}}]
    schema.check(config)
    assert make_plan(config).stages[1].settings["layers"] == 3
    config["recipe"]["stages"] = ["teacher", {"freeze": {"layer": 3}}]
    with pytest.raises(CondenserError, match=r"freeze.layer: no such key; did you mean layers"):
        make_plan(config)
