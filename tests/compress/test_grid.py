"""Training on grids of powers of two: what is kept is on them, and is what was trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from condenser.checkpoint.model_spec import ModelSpec
from condenser.checkpoint.packed import pack, table, unpack
from condenser.compress import CalibrationData, GridTraining
from condenser.errors import ConfigError

SHAPE, CLASSES = (1, 8, 8), 3
SPEC = ModelSpec({"_target_": "condenser.models.Separable", "width": 6}, SHAPE, CLASSES)
IMAGES = torch.randn(64, *SHAPE, generator=torch.Generator().manual_seed(0))
TARGET = torch.arange(64) % CLASSES


def calibration() -> CalibrationData:
    loss = nn.functional.cross_entropy
    return CalibrationData(lambda n: [(IMAGES[:n], TARGET[:n])], loss, dict)


def trained(**settings: Any) -> tuple[GridTraining, nn.Module, dict[str, Tensor]]:
    """A network after a few steps on its grids, and what is kept of it."""
    torch.manual_seed(0)
    model, method = SPEC.build(), GridTraining(**settings)
    model(IMAGES)  # batch norms have seen something
    method.prepare(model, calibration())
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.05)
    for _ in range(4):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(IMAGES), TARGET).backward()
        optimizer.step()
    return method, model, method.kept(model, model.state_dict())


@pytest.mark.parametrize(("bits", "bias_bits"), [(2, 3), (3, 4), (5, 5)])
def test_what_is_kept_is_few_multiples_of_a_power_of_two(bits: int, bias_bits: int) -> None:
    method, model, kept = trained(bits=bits, bias_bits=bias_bits)
    before = dict(model.named_parameters())
    assert set(kept) == set(before)
    moved = 0
    for name, values in kept.items():
        most = bias_bits if name.endswith("bias") else bits
        step = model.get_submodule(f"{name}_grid").scale
        multiples = values / step
        assert step.log2() % 1 == 0 and torch.equal(multiples, multiples.round()), name
        assert multiples.abs().max() <= 2 ** (most - 1) - 1
        moved += int((values != before[name]).sum())
    assert moved > 0 and method.ready
    again = SPEC.then(method.finish()).build()
    again.load_state_dict(kept)
    torch.testing.assert_close(again.eval()(IMAGES), model.eval()(IMAGES))


def test_gradients_go_straight_through_to_weights_and_biases() -> None:
    _, model, _ = trained()
    assert all(p.grad is not None for p in model.parameters())
    assert model.conv1.weight.grad.any() and model.fc.bias.grad.any()  # type: ignore[union-attr]
    assert all("weight" not in layer.__dict__ for layer in model.modules())


def test_its_packed_file_stores_no_scales() -> None:
    method, _, kept = trained()
    spec = SPEC.then(method.finish())
    model = spec.build()
    model.load_state_dict(kept)
    data = pack(spec, model.eval())
    _, back = unpack(data)
    for name, tensor in back.state_dict().items():
        assert torch.equal(tensor.view(torch.int32), kept[name].view(torch.int32)), name
    *rows, head = table(spec, model)
    assert {row.kind for row in rows} == {"steps"} and head.bytes < 110
    entries = sum(row.entries for row in rows)
    assert len(data) < head.bytes + 3.2 * entries / 8 + 3 * len(rows)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bits": 1}, "quantize.bits=1: must be 2 to 5"),
        ({"bias_bits": 8}, "quantize.bias_bits=8: must be 2 to 5"),
        ({"activation_bits": 8}, "quantize.activation_bits=8: must be null or false"),
        ({"per_channel": True}, "quantize.per_channel=true: must be null or false"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        GridTraining(**settings)
