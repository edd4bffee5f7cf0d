"""What the documents name is there; commands are ones that would run, Python blocks run."""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from places import CONF, ROOT

from condenser.cli import COMMANDS, common
from condenser.cli.train import lists_are_stages
from condenser.config import schema
from condenser.pipeline.plan import make_plan
from condenser.pipeline.resolve import name_models

HOUSE = ROOT / "src/condenser"
DOCS = sorted((ROOT / "docs").glob("*.md"))
RUN_BY_TEST_HOWTO = ("data.md", "deploy.md")
BLOCK = re.compile(r"^```(?:python|yaml)\n(.*?)^```$", re.S | re.M)
COMMAND = re.compile(r"^    (python src/\w+\.py .*)$", re.M)
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


def test_the_layout_lists_the_folders_that_there_are() -> None:
    layout = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("## Layout")[2]
    named = set(re.findall(r"(?<![\w/])(\w+)/(?=\s)", layout))
    here = {path.parent.name for path in HOUSE.glob("*/__init__.py")}
    outer = {"conf", "src", "condenser", "hydra_plugins", "experiments", "bench", "tests", "docs"}
    assert here <= named <= here | outer


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 100


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """(file that it is, or nothing; text) of each Python and YAML block."""
    for text in BLOCK.findall(page.read_text(encoding="utf-8")):
        named = re.match(r"# ([\w/]+\.(?:py|yaml))\b", text)
        yield (named[1] if named else ""), text


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder that modules are found in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("mine", None)


def written(folder: Path, page: Path) -> list[str]:
    """Write the blocks that are files; returns the others."""
    for name, text in blocks(page):
        if name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    return [text for name, text in blocks(page) if not name]


WITH_PYTHON = [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")]
WITH_PYTHON = [page for page in WITH_PYTHON if page.name not in RUN_BY_TEST_HOWTO]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda path: path.name)
def test_python_blocks_run_one_after_the_other(page: Path, here: Path) -> None:
    namespace: dict[str, object] = {}
    for text in written(here, page):
        exec(compile(text, page.name, "exec"), namespace)
    assert page.name != "python.md" or "Compressed" in str(namespace["small"])


def commands() -> list[tuple[str, str]]:
    pages = [page for page in PAGES if page.name not in RUN_BY_TEST_HOWTO]
    texts = [(page, page.read_text(encoding="utf-8")) for page in pages]
    return [(page.name, line) for page, text in texts for line in COMMAND.findall(text)]


def composes(words: list[str]) -> None:
    """The plan of these words; of a sweep, that of its first job."""
    config_dir = words[words.index("--config-dir") + 1] if "--config-dir" in words else None
    flags = {"-m", "--config-dir", config_dir}
    parsed = OverridesParser.create().parse_overrides(
        [lists_are_stages(word) for word in words if word not in flags]
    )
    first = [
        f"{one.get_key_element()}={next(one.sweep_string_iterator())}"
        if one.is_sweep_override()
        else str(one.input_line)
        for one in parsed
    ]
    own = [f"hydra.searchpath=[{Path(config_dir).absolute()}]"] if config_dir else []
    with initialize_config_dir(str(CONF), version_base="1.3"):
        first = [word for word in first if not word.startswith("hydra.launcher")]
        cfg = compose("train", [*own, *first, "run=documented"])
        config = OmegaConf.to_container(cfg, resolve=True)
        assert isinstance(config, dict)
        name_models(config)  # type: ignore[arg-type]
    schema.check(config)  # type: ignore[arg-type]
    assert make_plan(config).stages  # type: ignore[arg-type]


@pytest.mark.parametrize(("page", "line"), commands(), ids=str)
def test_commands_are_ones_that_would_run(
    page: str, line: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source,) = [path for path in PAGES if path.name == page]
    written(here, source)
    _, script, *words = shlex.split(line, comments=True)
    name = Path(script).stem
    assert name in COMMANDS
    if name != "train":
        monkeypatch.setattr(common, "answer", lambda *_, **__: 0)
        assert import_module(f"condenser.cli.{name}").main(words) == 0
    elif words != ["--help"]:
        for extra in ("openvino", "executorch", "timm", "transformers"):
            if any(word.endswith(f"={extra}") for word in words):
                pytest.importorskip(extra)
        composes(words)


def test_there_are_commands_and_blocks() -> None:
    assert len(commands()) > 25 and len(WITH_PYTHON) >= 4


@pytest.mark.slow
def test_the_notebook_runs(here: Path) -> None:
    cells = json.loads((ROOT / "docs/compress.ipynb").read_text(encoding="utf-8"))["cells"]
    namespace: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "compress.ipynb", "exec"), namespace)
    assert (here / "bundle/model.onnx").is_file() and (here / "curve.png").is_file()
