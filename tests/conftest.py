"""What several files of tests share."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import CONF

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # small networks: threads that wait for cores cost most

# files that train, export, start processes or compose many configs: not in make test-fast
SLOW = {
    "api": ["api"],
    "checkpoint": ["pack"],
    "cli": ["cli", "installed", "interrupts", "scripts"],
    "compress": ["bad_compression", "repair", "structure"],
    "config": ["schema"],
    "data": ["kinds"],
    "deploy": ["bundle", "deploy", "file_simulation"],
    "fuzz": ["recipes"],
    "hostile": ["commands", "files_store", "full_disk", "values"],
    "models": ["models"],
    "pipeline": [
        "baselines", "chains", "key", "odd_networks", "own_stage", "pairs", "pipeline", "promises",
        "teachers",
    ],
    "report": ["report", "report_page"],
    "runs": ["ownership"],
    "search": ["search", "shipped"],
    "sweep": ["launcher", "population"],
    "tasks": ["tasks"],
    "tests": ["docs", "howto"],
    "tracking": ["tracking"],
    "training": ["distributed", "progress", "resume", "together"],
}  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem.removeprefix("test_") in SLOW.get(item.path.parent.name, ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True, scope="session")
def remembered(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is remembered of image files goes with the tests."""
    os.environ["CONDENSER_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True, scope="session")
def conf_is_read_once() -> None:
    """Hydra reads the files of conf for every command: most of what a test of one would take."""
    from hydra._internal.sources_registry import SourcesRegistry
    from hydra.core.plugins import Plugins

    Plugins.instance()
    source: Any = SourcesRegistry.instance().types["file"]
    plain, known = source.load_config, dict[tuple[str, str], bytes]()

    def load(self: Any, config_path: str) -> Any:
        if Path(self.path).resolve() != CONF.resolve():
            return plain(self, config_path)
        if (self.path, config_path) not in known:
            known[self.path, config_path] = pickle.dumps(plain(self, config_path))
        return pickle.loads(known[self.path, config_path])

    source.load_config = load


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test draws the same numbers, whatever ran before it."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture
def own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No account, settings or home directory of the person who runs the tests."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture(scope="session")
def network() -> Callable[..., Any]:
    """conf/model's networks by name, with batch norms as lived-in as a trained one's, in eval mode.

    Returns (spec, model).
    """
    import torch
    from omegaconf import OmegaConf
    from torch import nn

    from condenser.checkpoint.model_spec import ModelSpec

    def build(name: str, shape: tuple[int, int, int] = (1, 8, 8), seed: int = 0) -> Any:
        torch.manual_seed(seed)
        architecture: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"model/{name}.yaml"))
        spec = ModelSpec(architecture, shape, 10)
        model = spec.build()
        for norm in model.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                assert isinstance(norm.running_mean, torch.Tensor)
                assert isinstance(norm.running_var, torch.Tensor)
                nn.init.normal_(norm.running_mean, std=0.2)
                nn.init.uniform_(norm.running_var, 0.5, 2.0)
                nn.init.uniform_(norm.weight, 0.5, 1.5)
                nn.init.normal_(norm.bias, std=0.2)
        return spec, model.eval()

    return build
