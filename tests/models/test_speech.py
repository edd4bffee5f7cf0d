"""Networks that hear waveforms: their features are librosa's, their sizes the papers'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from omegaconf import OmegaConf
from places import CONF, GOLDENS, SPEECH
from torch import Tensor, nn

from condenser import deploy
from condenser.compress import PostTraining
from condenser.errors import ConfigError
from condenser.models import DSCNN, BCResNet, TCResNet, build
from condenser.models.log_mel import LogMel, SpecAugment

SECOND = (1, 8000)
STEMS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
NAMES = [name for name in STEMS if name.startswith(SPEECH)]


def config(name: str) -> dict[str, Any]:
    return OmegaConf.to_container(OmegaConf.load(CONF / f"model/{name}.yaml"), resolve=True)  # type: ignore[return-value]


def chirp(rate: int, samples: int) -> np.ndarray:
    t = np.arange(samples) / rate
    return 0.5 * np.sin(2 * np.pi * (200 + 1500 * t) * t) + 0.25 * np.sin(2 * np.pi * 2300 * t)


@pytest.mark.parametrize("case", json.loads((GOLDENS / "log_mel.json").read_text()))
def test_log_mel_is_librosas(case: dict[str, Any]) -> None:
    """librosa 0.11.0: melspectrogram(window='hann', center=False, power=2, fmin=20, htk=True,
    norm=None) in float64, log(· + 1e-5), every fourth mel."""
    settings = {key: case[key] for key in ("samples", "rate", "window", "hop", "mels")}
    layer = LogMel(**settings, peak=False)
    wave = torch.from_numpy(chirp(case["rate"], case["samples"])).float()
    found = layer(wave.view(1, 1, -1))
    assert list(found.shape[2:]) == case["shape"]
    torch.testing.assert_close(found[0, 0, ::4], torch.tensor(case["log_mel"]), atol=2e-4, rtol=0)


def test_loudness_and_padding_do_not_matter() -> None:
    wave = torch.from_numpy(chirp(8000, 2000)).float().view(1, 1, -1)
    padded = nn.functional.pad(wave, (0, 9000))
    for name in ("ds_cnn_32", "bc_resnet_1", "tc_resnet8_third"):
        model = build(config(name), SECOND, 10).eval()
        with torch.no_grad():
            heard = model(wave)
            assert torch.equal(heard, model(padded))
            assert torch.equal(heard, model(padded[..., :3000]))
            torch.testing.assert_close(heard, model(4 * wave), atol=0.02, rtol=0)
            assert model(torch.zeros(SECOND)[None]).isfinite().all()  # silence


def test_order_within_a_batch_changes_nothing() -> None:
    waves, order = torch.randn(4, *SECOND), torch.tensor([2, 0, 3, 1])
    model = build(config("ds_cnn_32"), SECOND, 10).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(waves)[order], model(waves[order]))


# As the papers have them: Kim et al. 2021, table 2, 12 words; Hello Edge's with our features.
@pytest.mark.parametrize(
    ("width", "count"), [(1, 9_232), (1.5, 17_154), (2, 27_284), (3, 54_168), (8, 321_068)]
)
def test_bc_resnets_sizes_are_the_papers(width: float, count: int) -> None:
    with torch.device("meta"):
        model = BCResNet((1, 16000), 12, width, rate=16000)
    assert sum(p.numel() for p in model.parameters()) == count


# Choi et al. 2019, table 2: 66K, 145K, 137K and 305K, their batch norms' running numbers included.
@pytest.mark.parametrize(
    ("depth", "width", "count"),
    [(8, 1, 66_000), (8, 1.5, 145_000), (14, 1, 137_000), (14, 1.5, 305_000)],
)
def test_tc_resnets_sizes_are_the_papers(depth: int, width: float, count: int) -> None:
    model = TCResNet(SECOND, 12, depth, width)
    tensors = [*model.parameters(), *(b for n, b in model.named_buffers() if "running" in n)]
    assert round(sum(t.numel() for t in tensors), -3) == count


def test_ds_cnns_sizes_follow_from_the_papers_layers() -> None:
    for name, width, blocks in (("s", 64, 4), ("m", 172, 4), ("l", 276, 5)):
        model = build(config(f"ds_cnn_{name}"), SECOND, 12)
        separable = 9 * width + 2 * width + width * width + 2 * width
        whole = 40 * width + 2 * width + blocks * separable + width * 12 + 12
        assert sum(p.numel() for p in model.parameters()) == whole


@pytest.mark.parametrize("name", NAMES)
def test_every_config_names_itself_hears_and_is_traced(name: str) -> None:
    assert config(name)["name"] == name
    model, wave = build(config(name), SECOND, 10).eval(), torch.randn(2, *SECOND)
    graph = torch.fx.symbolic_trace(model)
    with torch.no_grad():
        logits = model(wave)
        assert logits.shape == (2, 10) and logits.isfinite().all()
        torch.testing.assert_close(graph(wave), logits, rtol=0, atol=0)


def test_spec_augment_hides_a_band_and_a_stretch_in_training_only() -> None:
    layer, features = SpecAugment(8, 6), torch.randn(50, 1, 40, 39)
    assert torch.equal(layer.eval()(features), features)
    torch.manual_seed(1)
    made = layer.train()(features)
    torch.manual_seed(1)
    assert torch.equal(made, layer(features))
    hidden = (made != features).flatten(1, 1)[:, 0]
    rows, columns = hidden.all(2).sum(1), hidden.all(1).sum(1)
    assert rows.max() == 8 and columns.max() == 6 and rows.min() == columns.min() == 0
    for mask, deep, wide in zip(hidden, rows, columns, strict=True):
        assert mask.sum() == deep * 39 + wide * 40 - deep * wide
        for line in (mask.all(1), mask.all(0)):  # in one piece
            assert line.int().diff().abs().sum() <= 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hop": 0.05}, r"model.window=0.032, hop=0.05: must be hop <= window <= 1 seconds"),
        ({"window": 2.0}, "model.window=2, hop=0.025"),
        ({"mels": 120}, "model.mels=120: must be fewer, or a longer window"),
        ({"augment_mels": -1}, "model.augment_mels=-1: must be >= 0"),
        ({"width": 0}, "model.width=0"),
    ],
)
def test_settings_that_give_no_features_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DSCNN(SECOND, 10, **settings)


def answers(file: Path, waves: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(file)
    return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: waves.numpy()})[0])


@pytest.mark.parametrize("name", ["ds_cnn_32", "tc_resnet8_third"])
def test_the_int8_file_hears_and_answers_as_simulated(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    waves = torch.randn(8, *SECOND) * torch.linspace(0, 1, 8000)
    model = build(config(name), SECOND, 10)
    model.train()(waves)
    model.eval()
    operation = PostTraining(8, 8)(model, waves, [])[-1]
    file = deploy.write(model, deploy.Form(), waves, tmp_path / "model", operation)
    with torch.no_grad():
        simulated = model(waves)
    step = float(simulated.abs().max()) / 50
    torch.testing.assert_close(answers(file, waves), simulated, atol=step, rtol=0)
    assert file.stat().st_size < 25_000  # the spectrum's constants are not written out
