"""Networks of token ids: padding, other samples and the runtime change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from omegaconf import OmegaConf
from places import CONF
from sequences import IDS, LONGEST, rows
from torch import nn

from condenser.deploy.graph import to_onnx
from condenser.errors import ConfigError
from condenser.measure import compute
from condenser.models import build

STEMS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
NAMES = [name for name in STEMS if name.startswith(("bag", "bilstm", "fasttext", "text_"))]


def network(name: str, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    config: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"model/{name}.yaml"))
    assert config["name"] == name
    return build({**config, **settings}, (LONGEST + 5,), 3, (), IDS).eval()


@pytest.mark.parametrize("name", NAMES)
def test_padding_and_other_texts_change_no_answer(name: str) -> None:
    model, ids = network(name), rows(6, 0)
    wide = nn.functional.pad(ids, (0, 5))
    order = torch.tensor([5, 3, 1, 0, 2, 4])
    with torch.no_grad():
        logits = model(ids)
        assert logits.shape == (6, 3) and not torch.equal(logits[0], logits[1])
        torch.testing.assert_close(model(wide), logits, rtol=0, atol=1e-6)
        torch.testing.assert_close(model(ids[order]), logits[order], rtol=0, atol=1e-6)
        alone = model(ids[:1, : int((ids[0] > 0).sum())])
        torch.testing.assert_close(alone, logits[:1], rtol=0, atol=1e-6)
        assert model(torch.zeros(1, 3, dtype=torch.int64)).isfinite().all(), "nothing but padding"


@pytest.mark.parametrize("name", ["bilstm", "text_transformer_tiny"])
def test_its_file_answers_alike_at_any_length(name: str, tmp_path: Path) -> None:
    model = network(name, **({"hidden": 8} if name == "bilstm" else {}))
    to_onnx(model, rows(2, 1), tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    for ids in (rows(5, 2), rows(1, 3)[:, :2]):
        (said,) = session.run(None, {"ids": ids.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(said, model(ids).numpy(), atol=1e-5)


def test_order_matters_where_pairs_of_words_count() -> None:
    forth, back = torch.tensor([[4, 5, 6]]), torch.tensor([[6, 5, 4]])
    with torch.no_grad():
        bag, pairs = network("bag_8"), network("fasttext_16")
        torch.testing.assert_close(bag(forth), bag(back))
        assert not torch.allclose(pairs(forth), pairs(back))


def test_products_of_recurrent_layers_are_counted() -> None:
    model = network("bilstm", width=8, hidden=6)
    found = compute(model, rows(1, 0)[:, :3])["macs"]
    assert found == 2 * 3 * (8 * 24 + 6 * 24) + 12 * 3


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("text_transformer", {"heads": 5}, "model.heads=5: must be a divisor"),
        ("text_cnn", {"kernels": [2]}, "must be odd sizes"),
        ("bag_8", {"width": 0}, "model.width=0"),
    ],
)
def test_settings_that_cannot_be_are_refused(name: str, settings: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        network(name, **settings)
