"""The user's own source is found whole, and without running any of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from condenser.outside.sources import in_words, sources

Folder = Callable[..., Path]
RUNS = "raise SystemExit('it was run')\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Files below a folder that is on Python's path; each would end the process if it were run."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / (name.replace("__of__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(RUNS + text)
        sys.path_importer_cache.clear()
        return tmp_path

    return write


def of(target: str) -> dict[str, str]:
    return sources({"distill": {"_target_": target, "alpha": 0.5}})


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("import zq_helpers", {"zq_helpers"}),
        ("import zq_helpers as h, os", {"zq_helpers"}),
        ("from zq_helpers import inner", {"zq_helpers", "zq_inner"}),
        ("def f():\n    from zq_helpers import f", {"zq_helpers", "zq_inner"}),
        ("import importlib\nimportlib.import_module('zq_inner')", {"zq_inner"}),
        ("__import__('zq_inner')", {"zq_inner"}),
        ("import zq_package.part", {"zq_package", "zq_package.part", "zq_package.other"}),
        ("from zq_package import part", {"zq_package", "zq_package.part", "zq_package.other"}),
        ("from zq_bare import part", {"zq_bare.part"}),
        ("import torch, torchvision, condenser.distill, json", set()),
        ("import zq_nowhere", set()),
        ("x = ", set()),
    ],
)
def test_what_a_module_imports_of_the_users_own_counts(
    text: str, more: set[str], write: Folder
) -> None:
    write(
        zq_mine=text,
        zq_helpers="import zq_inner",
        zq_inner="import zq_mine",
        zq_package__of____init__="",
        zq_package__of__part="from . import other\nfrom .. import json",
        zq_package__of__other="",
        zq_package__of__unused="",
        zq_bare__of__part="",
    )
    if "zq_helpers" in more:
        more = more | {"zq_inner"}
    if "zq_inner" in more:
        more = more | {"zq_mine"}
    assert set(of("zq_mine.Mimic.of")) == more | {"zq_mine"}


def test_installed_packages_count_by_their_version(write: Folder) -> None:
    from importlib import metadata

    write(zq_mine="import yaml, hydra")
    found = of("zq_mine.Mimic")
    assert found["PyYAML"] == metadata.version("PyYAML")
    assert found["hydra-core"] == metadata.version("hydra-core")
    assert set(found) == {"zq_mine", "PyYAML", "hydra-core"}
    assert of("optuna.samplers.TPESampler") == {"optuna": metadata.version("optuna")}


@pytest.mark.parametrize("target", ["condenser.distill.KD", "torch.optim.AdamW", "builtins.dict"])
def test_of_ours_and_of_torch_nothing_is_said(target: str) -> None:
    assert of(target) == {} and in_words(of(target)) is None


def test_every_target_counts_wherever_it_stands(write: Folder) -> None:
    write(zq_mine="", zq_other="", zq_third="", zq_fourth="")
    getter = {"_target_": "hydra.utils.get_class", "path": "zq_fourth.Net"}
    inner = [{"_target_": "zq_other.A", "b": {"_target_": "zq_third.B", "c": getter}}]
    found = sources({"_target_": "zq_mine.M", "a": inner, "path": "zq_nowhere.Net"})
    assert {n for n in found if n[:3] == "zq_"} == {"zq_mine", "zq_other", "zq_third", "zq_fourth"}


def test_a_changed_module_changes_its_hash_alone_and_its_folder_nothing(
    write: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(zq_mine="import zq_helpers", zq_helpers="x = 1", zq_unused="")
    before = of("zq_mine.Mimic")
    write(zq_helpers="x = 2", zq_unused="x = 3")
    after = of("zq_mine.Mimic")
    assert before["zq_mine"] == after["zq_mine"] and before["zq_helpers"] != after["zq_helpers"]
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in tmp_path.glob("*.py"):
        path.rename(moved / path.name)
    monkeypatch.syspath_prepend(moved)
    sys.path_importer_cache.clear()
    assert of("zq_mine.Mimic") == after


def test_words_are_one_for_each_package(write: Folder) -> None:
    write(zq_mine="import zq_package.part, yaml", zq_package__of____init__="")
    write(zq_package__of__part="")
    first, second, third = str(in_words(of("zq_mine.Mimic"))).split(", ")
    assert first.startswith("PyYAML ") and second.startswith("zq_mine ")
    assert third.startswith("zq_package ") and len(third.split()[1]) == 16
