"""What the documents name is there: files, functions, links, folders."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from places import ROOT

HOUSE = ROOT / "src/condenser"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
NAMED = [
    (path.name, *found)
    for path in DOCS
    for found in re.findall(r"`([\w/]+\.py)(?::([\w.]+))?`", path.read_text(encoding="utf-8"))
]


def defined(tree: ast.AST, name: str) -> bool:
    """Whether ``Class.method`` or ``function`` is defined in a module."""
    head, _, rest = name.partition(".")
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == head:
            return not rest or defined(node, rest)
    return False


@pytest.mark.parametrize(("page", "path", "name"), NAMED, ids=str)
def test_every_function_that_a_document_names_exists(page: str, path: str, name: str) -> None:
    tree = ast.parse((HOUSE / path).read_text(encoding="utf-8"))
    assert not name or defined(tree, name), f"{page}: {path} has no {name}"


def test_a_name_that_is_not_there_is_found_out() -> None:
    tree = ast.parse("class A:\n    def f(self): ...\ndef g(): ...")
    assert all(defined(tree, name) for name in ("A", "A.f", "g"))
    assert not any(defined(tree, name) for name in ("f", "A.g", "B.f"))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


def test_a_newcomer_opens_at_most_twelve_files_to_understand_distill() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\d+\. `", text.partition("end to end")[2], flags=re.MULTILINE)
    assert 0 < len(listed) <= 12


def test_the_readme_lists_the_folders_that_there_are() -> None:
    layout = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Layout")[2]
    named = set(re.findall(r"(?<![\w/])(\w+)/(?=\s)", layout))
    here = {path.parent.name for path in HOUSE.glob("*/__init__.py")}
    outer = {"conf", "src", "condenser", "hydra_plugins", "experiments", "bench", "tests", "docs"}
    assert here <= named <= here | outer
