"""Networks of timm and transformers by name; a folder of Hugging Face; what is not installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from places import ROOT
from running import run_in
from torch import Tensor

from condenser.checkpoint.importing import load_weights
from condenser.config.huggingface import inline
from condenser.errors import ConfigError
from condenser.models import build, timm_zoo
from condenser.outside.sources import sources

TIMM, HF = "condenser.models.timm_model", "condenser.models.transformers_model"
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
SMALL |= {"intermediate_size": 16}


@pytest.mark.parametrize("library", ["timm", "transformers"])
def test_a_library_that_is_not_there_is_said_with_what_to_install(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timm_zoo, "find_spec", lambda name: None)
    target = {"_target_": f"condenser.models.{library}_model", "architecture": "some"}
    with pytest.raises(ConfigError, match=f"{library} is not installed; pip install {library}=="):
        build(target, (3, 32, 32), 10)


def test_timm_networks_fit_the_data_and_names_are_hinted() -> None:
    timm = pytest.importorskip("timm")
    model = build({"_target_": TIMM, "architecture": "lcnet_050"}, (1, 32, 32), 7).eval()
    with torch.no_grad():
        assert model(torch.randn(2, 1, 32, 32)).shape == (2, 7)
    with pytest.raises(ConfigError, match="did you mean lcnet_"):
        build({"_target_": TIMM, "architecture": "lcnet_05"}, (3, 32, 32), 10)
    assert sources({"_target_": TIMM})["timm"] == timm.__version__


def hugging_face(folder: Path) -> Any:
    """A small BERT as transformers stores one, and itself."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(**SMALL, vocab_size=400, num_labels=3)
    model = transformers.BertForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    return model


def test_a_local_folder_answers_as_transformers_does(tmp_path: Path) -> None:
    theirs = hugging_face(tmp_path)
    asked: dict[str, Any] = {"_target_": HF, "architecture": str(tmp_path), "name": str(tmp_path)}
    inline(asked, "teacher.model")
    assert asked["architecture"] == "bert" and asked["name"] == tmp_path.name
    assert asked["settings"]["hidden_size"] == 16 and "architectures" not in asked["settings"]
    model = build(json.loads(json.dumps(asked)), (1, 1, 6), 3).eval()
    load_weights(model, tmp_path)
    ids = torch.tensor([[5, 300, 7, 8, 0, 0], [5, 6, 399, 8, 9, 10]])
    with torch.no_grad():
        wanted: Tensor = theirs(input_ids=ids, attention_mask=(ids != 0).long()).logits
        assert torch.allclose(model(ids), wanted, atol=1e-6)
        digits = torch.stack([ids % 256, ids // 256], 1).float()[:, :, None]
        assert torch.allclose(model(digits), wanted, atol=1e-6)


def test_a_vision_transformer_loses_heads_and_layers_width_in_a_recipe(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    settings = ",".join(f"{key}:{value}" for key, value in (SMALL | {"patch_size": 4}).items())
    found = run_in(
        tmp_path,
        "model@teacher.model=transformers",
        "teacher.model.architecture=vit",
        f"teacher.model.settings={{{settings}}}",
        "cut=heads",
        "cut.criterion.images=64",
        "recipe=[teacher,{cut:{epochs:0}}]",
    )
    assert found[1]["cut/achieved"] == 0.5 and found[0]["model"] == "vit"


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_folder_whose_config_names_nothing_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    asked = {"_target_": HF, "architecture": str(tmp_path)}
    with pytest.raises(ConfigError, match="config.json names a model_type"):
        inline(asked, "teacher.model")


def zoo() -> Any:
    sys.path.insert(0, str(ROOT / "bench"))
    import zoo as module

    return module


ROWS = {
    "squeezenet1_1": "torchvision",
    "mnasnet0_5": "torchvision",
    "lcnet_100": "timm",
    "vit": "transformers",
    "bert": "transformers",
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_the_zoo(name: str) -> None:
    """Half of the MACs where it can be had; else the least, by name."""
    if ROWS[name] != "torchvision":
        pytest.importorskip(ROWS[name])
    row = zoo().Row(*zoo().built(ROWS[name], name))
    row.halve()
    assert row.facts["left"] <= 0.505 or "must be" in row.facts["not_halved"]
    with torch.no_grad():
        assert row.model(row.inputs[:2]).shape == (2, 10)


def test_the_zoo_knows_what_was_not_run() -> None:
    page = zoo().table([{"library": "timm", "network": "resnet18", "refused": "why | not"}])
    assert "| timm resnet18 |" in page and "why / not |" in page
    assert "| torchvision alexnet | | | | | | | | not run |" in page
    names = list(zoo().networks())
    count = {word: sum(lib == word for lib, _ in names) for word in ("timm", "transformers")}
    assert count == {"timm": 40, "transformers": 10} and len(names) == len({*names})
