"""A key holds everything that determines a result, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from places import SRC
from running import QUICK, config_of

from condenser.pipeline.console import Console
from condenser.pipeline.key import ingredients as of_stage
from condenser.pipeline.key import inputs, state_of
from condenser.pipeline.plan import make_plan
from condenser.pipeline.session import run_context
from condenser.store import key_of
from condenser.training.distributed.process_group import ProcessGroup

STAGES = ("teacher", "distill", "prune", "quantize", "export")
BASE = (*QUICK, f"recipe=[{','.join(STAGES)}]")
ALL, TRAINED = set(STAGES), {"teacher", "distill", "prune", "quantize"}
OBJECTIVE = """
from torch import nn
from condenser.distill import Objective

class Mimic(Objective):
    def forward(self, student, teacher, target):
        return {{"loss": {weight} * nn.functional.cross_entropy(student.logits, target)}}
"""


def keys(config: dict[str, Any]) -> dict[str, str]:
    """Of each stage, the models that it is given aside."""
    threads = torch.get_num_threads()
    try:
        ctx = run_context(config, Console(Path("."), quiet=True))
        return {s.word: key_of(of_stage(s, ctx)) for s in make_plan(config).stages}
    finally:
        torch.set_num_threads(threads)


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {word for word in before if before[word] != after[word]}


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    return keys(config_of(*BASE))


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("seed=1", ALL),
        ("teacher.seed=1", {"teacher"}),
        ("optim.lr=0.02", TRAINED),
        ("teacher.optim.lr=0.02", {"teacher"}),
        ("optim.batch_size=32", TRAINED),
        ("prune.epochs=3", {"prune"}),
        ("optim.optimizer.weight_decay=0.1", TRAINED),
        ("optim=sgd", TRAINED),
        ("model@teacher.model=mlp_64", {"teacher"}),
        ("model@student.model=mlp_64", {"distill"}),
        ("student.model.widths=[33]", {"distill"}),
        ("teacher.input.mean=[0.4]", {"teacher"}),
        ("distill=dkd", {"distill", "prune"}),
        ("distill.temperature=9", {"distill", "prune"}),
        ("distill.alpha=0.77", {"distill", "prune"}),
        ("distill.divergence=reverse", {"distill", "prune"}),
        ("~distill.divergence", set()),  # the default came later
        ("prune.rate=0.4", {"prune"}),
        ("prune=random", {"prune"}),
        ("prune.objective=labels", {"prune"}),
        ("quantize.bits=4", {"quantize"}),
        ("export.batch=3", {"export"}),
        ("export.input=uint8", {"export"}),
        ("data.limit=300", ALL),
        ("data.val_fraction=0.2", ALL),
        ("data.split_seed=1", ALL),
        ("data.views=2", ALL),
        ("data.mean=[0.5]", ALL),
        ("data.augment=[{_target_:condenser.data.Shift,pixels:1}]", ALL),
        ("data=synthetic", ALL),
        ("trainer.threads=2", ALL),
        ("trainer.precision=bf16-mixed", ALL),
        ("trainer.deterministic=false", ALL),
        ("trainer.compile=true", ALL),
    ],
)
def test_a_setting_changes_the_keys_of_the_stages_that_use_it(
    override: str, stages: set[str], before: dict[str, str]
) -> None:
    assert changed(before, keys(config_of(*BASE, override))) == stages


def set_of(target: str, value: Any) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(target, value)


@pytest.mark.parametrize(
    "change",
    [
        set_of("condenser.pipeline.key.VERSION", 99),
        set_of("condenser.measure.device_kind", lambda accelerator: "cuda 9.0"),
        set_of("condenser.measure.device_kind", lambda accelerator: "mps"),
        set_of("torch.backends.cpu.get_cpu_capability", lambda: "DEFAULT"),
        set_of("torch.backends.mkl.is_available", lambda: False),
        set_of("torch.backends.mkldnn.is_available", lambda: False),
        set_of("torch.get_float32_matmul_precision", lambda: "medium"),
        set_of("condenser.measure.environment.metadata.version", lambda package: "9"),
        set_of("condenser.pipeline.session.ProcessGroup", lambda: ProcessGroup(0, 2)),
        set_of("condenser.data.DataModule.fingerprint", "other"),
    ],
    ids=lambda change: change.__closure__[0].cell_contents.rpartition(".")[2],
)
def test_the_machine_changes_every_key(
    change: Callable[[pytest.MonkeyPatch], None],
    before: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = config_of(*BASE)
    change(monkeypatch)
    assert changed(before, keys(config)) == ALL


@pytest.mark.parametrize(
    "override",
    [
        "runs=elsewhere",
        "store=elsewhere",
        "name=other",
        "claim=other",
        "run=other",
        "logger=wandb",
        "trainer.progress=false",
        "trainer.checkpoint_seconds=1",
        "trainer.accelerator=auto",
        "trainer.deterministic=warn",
        "trainer.strategy=ddp",
        "teacher.min_accuracy=0.5",
        "teacher.cache.keep=disk",
        "teacher.cache.folder=elsewhere",
        "teacher.model.name=other",
        "distill.ensemble=random",
        "budget.n_trials=3",
        "share.bits=2",
        "cut.rate=0.3",
        "data.name=other",
    ],
)
def test_nothing_else_changes_a_key(override: str, before: dict[str, str]) -> None:
    if override == "trainer.accelerator=auto" and torch.cuda.is_available():
        pytest.skip("auto is the GPU here")
    config = config_of(*BASE)
    other = config_of(*BASE, override) if override != "run=other" else config | {"run": "other"}
    assert other != config and changed(before, keys(other)) == set()


def test_the_order_of_settings_changes_no_key(before: dict[str, str]) -> None:
    def backwards(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: backwards(value[key]) for key in reversed(value)}
        return value

    config = config_of(*BASE)
    assert list(backwards(config)) != list(config)
    assert keys(backwards(config)) == before


@pytest.mark.parametrize(
    ("words", "stages"),
    [
        (("distill=labels", "distill._target_=zq_own.Mimic"), {"distill", "prune"}),
        (("+prune.extra={_target_:zq_own.Mimic}",), {"prune"}),
        (("+data.extra={_target_:zq_own.Mimic}",), ALL),
        (("+student.model.extra={_target_:zq_own.Mimic}",), {"distill"}),
        (("+optim.optimizer.extra={_target_:zq_own.Mimic}",), TRAINED),
        (("+logger.extra={_target_:zq_own.Mimic}",), set()),
    ],
)
def test_own_source_changes_the_keys_of_the_stages_that_name_it(
    words: tuple[str, ...],
    stages: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    config = config_of(*BASE, *words)
    known: list[dict[str, str]] = []
    read: list[str | None] = []
    with ExitStack() as stack:
        stack.callback(sys.modules.pop, "zq_own", None)
        config["data"].pop("extra", None)
        data = config_of(*BASE, *words)["data"]
        for weight in (1, 2):
            (tmp_path / "zq_own.py").write_text(OBJECTIVE.format(weight=weight))
            sys.path_importer_cache.clear()
            ctx = run_context(config, Console(tmp_path, quiet=True))
            plan = make_plan({**config, "data": data}).stages
            known.append({s.word: key_of(of_stage(s, ctx)) for s in plan})
            read.append(inputs({**config, "data": data}))
    assert changed(*known) == stages
    assert (read[0] != read[1]) == bool(stages)


def test_a_sweep_notices_changed_data(tmp_path: Path) -> None:
    def read() -> str | None:
        state_of.cache_clear()
        places = (f"runs={tmp_path / 'set/runs'}", f"data.root={tmp_path / 'set'}")
        return inputs(config_of(*BASE, *places))

    (tmp_path / "set/cat").mkdir(parents=True)
    (tmp_path / "set/cat/loop").symlink_to(tmp_path / "set")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "set/linked").symlink_to(tmp_path / "elsewhere")
    seen = [read()]
    for place, new in [("set/cat/1", True), ("set/cat/1", True), ("elsewhere/2", True)]:
        with (tmp_path / place).open("a") as file:
            file.write("x")
        seen.append(read())
        assert (seen[-1] != seen[-2]) == new
    for place in ("set/runs/default/records.jsonl", "set/.lock"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("x")
    (tmp_path / "set").rename(tmp_path / "moved")
    (tmp_path / "moved").rename(tmp_path / "set")
    assert read() == seen[-1]
    assert inputs(config_of(*BASE)) is None


@pytest.mark.parametrize(
    ("words", "teacher", "student"),
    [
        (("data=imagefolder",), "resnet18", "mobilenet_v2_224"),
        (("data=imagefolder", "model@student.model=vgg8"), "resnet18", "vgg8"),
        (("model@teacher.model=vgg8", "data=imagefolder"), "vgg8", "mobilenet_v2_224"),
        (("experiment=imagefolder", "data=digits"), "mlp_128", "mlp_32"),
        (("experiment=seed_mlp", "data=imagefolder"), "mlp_128", "mlp_64"),
    ],
)
def test_a_set_suggests_its_networks(words: tuple[str, ...], teacher: str, student: str) -> None:
    config = config_of(*words)
    assert config["teacher"]["model"]["name"] == teacher
    assert config["student"]["model"]["name"] == student


@pytest.mark.slow
def test_an_edited_objective_is_trained_anew_and_a_sweep_notices(tmp_path: Path) -> None:
    """Once the old result came back as stored."""
    command = [
        *(sys.executable, str(SRC / "train.py"), "-m"),
        *("hydra/launcher=basic", "recipe=[student,distill]", "distill=labels"),
        *("distill._target_=zq_own.Mimic", "distill.teachers=[0]", f"runs={tmp_path / 'runs'}"),
        *QUICK,
    ]
    paths = os.pathsep.join([str(tmp_path), *sys.path])

    def train(weight: int) -> str:
        (tmp_path / "zq_own.py").write_text(OBJECTIVE.format(weight=weight))
        env = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "stored" not in train(1)
    assert "done before" in train(1)
    again = train(10)
    assert "done before" not in again
    student, distilled = (line for line in again.splitlines() if " test " in line)
    assert student.endswith("stored") and not distilled.endswith("stored")
    record = (tmp_path / "runs/default").glob("*/records.jsonl")
    assert '"code": "zq_own ' in next(record).read_text()


def test_a_root_that_is_one_file_counts_by_its_state(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    found = set()
    for text in ("path,label\n", "path,label,split\n"):
        table.write_text(text)
        state_of.cache_clear()
        found.add(state_of(str(table), ()))
    (tmp_path / "beside.csv").touch()
    state_of.cache_clear()
    assert len(found) == 2 and state_of(str(table), ()) in found
