"""Imports go downwards: read from the source, those inside functions too."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeGuard

import pytest
from places import SRC

# From the ground upwards: each imports only what stands before it.
HOUSE = (
    *("errors", "files", "outside", "functional", "tasks", "models", "data", "capture", "measure"),
    *("distill", "compress", "inherit", "checkpoint", "analysis", "deploy", "runs", "training"),
    *(
        "store",
        "config",
        "search",
        "tracking",
        "pipeline",
        "report",
        "sweep",
        "api",
        "cli",
        "__main__",
    ),
)
LEVEL = {name: level for level, name in enumerate(HOUSE)}


class Import(NamedTuple):
    """``top``: done when the file is imported, and not only for a type checker."""

    module: str
    line: int
    top: bool


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted((SRC / "condenser").rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(tree: ast.AST, package: str, top: bool = True) -> Iterator[Import]:
    """All imports below ``tree``, relative ones made absolute, names of submodules as modules."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield Import(whole if whole in MODULES else base, node.lineno, top)
        else:
            typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports(node, package, top and not typing and not later)


def imports_of(name: str) -> list[Import]:
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return list(imports(ast.parse(path.read_text()), package))


def part(module: str) -> str:
    """The word of the level table: ``condenser.data.module`` is part of ``data``."""
    return module.split(".")[1] if "." in module else ""


def own(module: str) -> bool:
    return module.split(".")[0] == "condenser"


def test_the_reader_of_imports_sees_them_all() -> None:
    source = """
import torch.nn as nn
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from condenser.store import Entry
def f():
    from condenser import sweep, __version__
    class A:
        import os
from . import jobs
from ..errors import one_of
"""
    found = [(i.module, i.top) for i in imports(ast.parse(source), "condenser.sweep")]
    assert found == [
        ("torch.nn", True),
        ("typing", True),
        ("condenser.store", False),
        ("condenser.sweep", False),
        ("condenser", False),
        ("os", False),
        ("condenser.sweep.jobs", True),
        ("condenser.errors", True),
    ]
    assert len(MODULES) > 60
    assert any(
        i.module == "condenser.pipeline.run" and not i.top
        for i in imports_of("condenser.cli.train")
    )


@pytest.mark.parametrize("name", [name for name in MODULES if name != "condenser"])
def test_imports_go_downwards(name: str) -> None:
    assert part(name) in LEVEL, f"{name}: say in HOUSE where it stands"
    for found in imports_of(name):
        if own(found.module):
            where = f"{MODULES[name]}:{found.line}"
            assert part(found.module) in LEVEL, f"{where} imports {found.module}, of no level"
            assert LEVEL[part(found.module)] <= LEVEL[part(name)], (
                f"{where} imports {found.module}, which is above it"
            )


def test_the_ground_plan_is_what_the_house_says() -> None:
    entries = [
        p for p in (SRC / "condenser").iterdir() if not p.name.startswith(("__", "py.typed"))
    ]
    assert {p.stem for p in entries} == {*HOUSE} - {"__main__"} and len(entries) <= 26


@pytest.mark.parametrize("path", MODULES.values(), ids=MODULES)
def test_files_and_functions_can_be_read(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300, f"{path}: at most 300 lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, f"{path}:{node.lineno} {node.name}"


def test_no_module_needs_itself_to_be_imported() -> None:
    needs = {
        name: {i.module for i in imports_of(name) if i.top and i.module in MODULES}
        for name in MODULES
    }
    # Whoever imports a.b runs a/__init__ first, unless it is a part of a itself.
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in sorted(needs[name] - {name}):
                visit(other, (*path, name))
            done.add(name)

    for name in MODULES:
        visit(name, ())
    assert done == set(MODULES)


# Whoever gets to these has waited for torch: nothing is gained by a late import.
AFTER_TORCH = ("analysis.", "distill.", "functional.", "inherit.", "search.", "training.")
AFTER_TORCH += ("pipeline.bundle", "pipeline.execute", "pipeline.metrics.", "pipeline.tryout.")
BEFORE_TORCH = ("training.distributed.launch", "training.distributed.process_group")


@pytest.mark.parametrize("name", [n for n in MODULES if n[10:].startswith(AFTER_TORCH)])
def test_imports_stand_at_the_top_where_torch_is_loaded(name: str) -> None:
    functions = [n for n in ast.walk(ast.parse(MODULES[name].read_text())) if is_function(n)]
    late = [n for f in functions for n in ast.walk(f) if isinstance(n, ast.Import | ast.ImportFrom)]
    assert not late or name[10:] in BEFORE_TORCH, [ast.unparse(node) for node in late]


def is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.Lambda)


def test_objective_files_do_not_know_each_other() -> None:
    """Add-only: a method's file stands on its level's contract, not on another method."""
    files = ("base", "contrastive", "divergence", "exit_heads", "feature", "memory")
    contract = {f"condenser.distill.{file}" for file in files}
    for name in MODULES:
        if part(name) == "distill" and name not in {"condenser.distill", *contract}:
            others = {i.module for i in imports_of(name) if part(i.module) == "distill"}
            assert others <= contract, name


def test_pure_maths_needs_torch_alone() -> None:
    for name in MODULES:
        if part(name) == "functional":
            for found in imports_of(name):
                first = found.module.split(".")[0]
                within = part(found.module) == "functional"
                assert first in {"torch", *sys.stdlib_module_names} or within, found


@pytest.mark.parametrize(
    ("module", "at_home"),
    [("hydra.utils", "condenser.config.instantiate"), ("wandb", "condenser.tracking.wandb_")],
)
def test_few_files_know(module: str, at_home: str) -> None:
    users = {
        name
        for name in MODULES
        for found in imports_of(name)
        if f"{found.module}.".startswith(f"{module}.")
    }
    assert users and all(user.startswith(at_home) for user in users), users


HOOKS = {  # what these hook, they make or own: the hooks belong to it and stay
    "models._adapted",
    "checkpoint.input_adapter",
    "compress.quantization.quantizers",
    "compress.quantization.aware",
    "compress.quantization.grid",
    "deploy.coded",
}
MODES = {  # whose modes they set, they made, copied or were handed for good
    "models._adapted",
    "checkpoint.model_spec",
    "checkpoint.packed.file",
    "compress.channels.attention",
    "compress.factorization.operation",
    "compress.quantization.aware",
    "compress.quantization.folding",
    "compress.quantization.grid",
    "compress.quantization.operation",
    "compress.quantization.post_training",
    "deploy.coded",
    "deploy.executorch_program",
    "deploy.graph",
    "deploy.write",
    "inherit.channels",
    "pipeline.stages.teacher",
    "pipeline.stages.training",
    "pipeline.tryout.network",
    "training.distillation",
    "training.student",
}


@pytest.mark.parametrize(
    ("calls", "owners"),
    [(r"\.register_forward_(pre_)?hook\b", HOOKS), (r"(?<!self)\.(train|eval)\(", MODES)],
)
def test_somebody_elses_model_is_hooked_and_switched_in_capture_alone(
    calls: str, owners: set[str]
) -> None:
    """``watching`` takes its hooks away and ``evaluating`` gives every layer its mode back."""
    found = {
        name.removeprefix("condenser.")
        for name, path in MODULES.items()
        if re.search(calls, path.read_text(encoding="utf-8"))
    }
    assert {name for name in found if not name.startswith("capture.")} == owners


def test_nothing_runs_text_or_pickles() -> None:
    for name, path in MODULES.items():
        calls = {
            ast.unparse(n.func)
            for n in ast.walk(ast.parse(path.read_text()))
            if is_call(n) and not reads_tensors(n)
        }
        unsafe = {
            "eval",
            "exec",
            "compile",
            "os.system",
            "torch.load",
            "pickle.load",
            "pickle.loads",
        }
        assert not calls & unsafe, name


def test_text_is_utf_8_whatever_the_machine_speaks() -> None:
    for path in MODULES.values():
        for call in filter(is_call, ast.walk(ast.parse(path.read_text(encoding="utf-8")))):
            who, text = ast.unparse(call.func), ast.unparse(call)
            reads = who.endswith((".read_text", ".write_text", ".fdopen", ".open")) or who == "open"
            binary = re.search(r"['\"][rwax]\+?b['\"]", text)
            ours = not re.match(r"os\.open|Image\.|webbrowser|capture|one|self\.open", who)
            if (reads and ours and not binary) or ", text=True" in text:
                assert "utf-8" in text, f"{path}:{call.lineno}"


def reads_tensors(call: ast.Call) -> bool:
    """``torch.load(…, weights_only=True)``, which unpickles nothing but tensors."""
    only = any(ast.unparse(keyword) == "weights_only=True" for keyword in call.keywords)
    return only and ast.unparse(call.func) == "torch.load"


def is_call(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call)


def test_the_command_line_answers_before_torch_is_loaded() -> None:
    """A misspelt option must not wait for seconds of imports."""
    slow = ("torch", "pytorch_lightning", "torchmetrics", "wandb", "onnx", "sklearn", "pandas")
    code = f"import sys, condenser.cli.train; print(sorted(set({slow}) & set(sys.modules)))"
    run = [sys.executable, "-c", code]
    out = subprocess.run(run, env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True)
    assert (out.stdout, out.stderr) == ("[]\n", "")
