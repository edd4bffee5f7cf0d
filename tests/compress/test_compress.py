"""What compression claims is read back from the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser.compress import (
    FoldBatchNorm,
    Magnitude,
    Operation,
    PostTraining,
    Quantized,
    Sparse,
    WeightPruning,
    prunable,
    sparsity,
)
from condenser.compress.quantization import InputQuantizer, foldable
from condenser.errors import ConfigError, DamagedError
from condenser.functional.pruning import (
    global_threshold,
    keep_largest,
    layerwise_threshold,
    pack_bits,
    unpack_bits,
)
from condenser.functional.quantization import affine_range
from condenser.functional.ranges import grid
from condenser.functional.schedules import one_shot


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small() -> nn.Sequential:
    """Weights of very different sizes, so that one threshold and one rate a layer differ."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 20))
    net.extend([nn.ReLU(), nn.Linear(20, 10)])
    net.get_parameter("3.weight").data.mul_(3)
    return net


def weights(model: nn.Module) -> np.ndarray:
    kinds = (nn.Linear, nn.Conv2d)
    parts = [m.weight.detach().flatten() for m in model.modules() if isinstance(m, kinds)]
    return torch.cat(parts).numpy()


def zeros(model: nn.Module) -> int:
    return int((weights(model) == 0).sum())


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, after: Any) -> None:
    """Real gradient steps; ``after`` is given the part that is done."""
    image, target = randn(16, 1, 8, 8), torch.arange(16) % 10
    for step in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(image), target).backward()
        optimizer.step()
        after((step + 1) / steps)


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "adam": lambda p: torch.optim.AdamW(p, lr=1e-2),
    "momentum": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9, nesterov=True),
}


# --- which weights to keep


@pytest.mark.parametrize("n", [1, 7, 1000])
@pytest.mark.parametrize("rate", [0.0, 0.1, 1 / 3, 0.5, 0.999, 1.0])
def test_exactly_the_asked_share_is_dropped_and_it_is_the_lowest(n: int, rate: float) -> None:
    scores = randn(n)
    mask = keep_largest(scores, rate)
    assert int((~mask).sum()) == round(rate * n)
    if 0 < mask.sum() < n:
        assert scores[~mask].max() <= scores[mask].min()


def test_ties_fall_by_position_and_never_drop_more() -> None:
    assert keep_largest(torch.ones(2, 4), 0.5).tolist() == [[False] * 4, [True] * 4]


def test_one_threshold_for_all_layers_is_numpys_partition() -> None:
    scores = {"a": randn(5, 7), "b": 10 * randn(31, seed=1), "c": randn(2, 3, 3, 3, seed=2)}
    everything = np.sort(np.concatenate([s.numpy().ravel() for s in scores.values()]))
    threshold = everything[round(0.6 * everything.size)]
    for name, mask in global_threshold(scores, 0.6).items():
        np.testing.assert_array_equal(mask.numpy(), scores[name].numpy() >= threshold)


def test_one_rate_for_each_layer() -> None:
    masks = layerwise_threshold({"a": randn(10), "b": 100 + randn(4, 5)}, 0.3)
    assert {name: int((~mask).sum()) for name, mask in masks.items()} == {"a": 3, "b": 6}


@pytest.mark.parametrize("n", [1, 8, 9, 1001])
def test_a_mask_takes_a_bit_an_entry(n: int) -> None:
    mask = randn(n) > 0
    packed = pack_bits(mask)
    np.testing.assert_array_equal(packed.numpy(), np.packbits(mask.numpy(), bitorder="little"))
    assert torch.equal(unpack_bits(packed, n), mask)


# --- weight pruning


@pytest.mark.parametrize("rate", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("scope", [global_threshold, layerwise_threshold])
def test_the_rate_asked_for_is_the_rate_read_from_the_weights(rate: float, scope: Any) -> None:
    model = small()
    pruning = WeightPruning(rate, Magnitude(), scope=scope)
    pruning.prepare(model)
    pruning.step(1.0)
    total = weights(model).size
    layers = [layer.numel() for layer in prunable(model).values()]
    exact = sum(round(rate * n) for n in ([total] if scope is global_threshold else layers))
    assert zeros(model) == exact
    assert sparsity(prunable(model)) == pytest.approx(exact / total)


def test_the_smallest_weights_go() -> None:
    model = small()
    before = np.abs(weights(model))
    pruning = WeightPruning(0.5, Magnitude(), schedule=one_shot, until=0.0)
    pruning.prepare(model)
    kept = weights(model) != 0
    assert before[~kept].max() <= before[kept].min()


@pytest.mark.parametrize("first", [0.0, 0.2])
def test_zeros_grow_as_zhu_and_gupta_say(first: float) -> None:
    """s(p) = s₀ + (s - s₀)(1 - (1 - p)³), in equal moves, and nothing after ``until``."""
    model, rate, until, moves = small(), 0.8, 0.5, 20
    if first:
        WeightPruning(first, Magnitude(), until=0.0).prepare(model)
    total = weights(model).size
    start = zeros(model) / total
    assert start == pytest.approx(first, abs=1 / total)
    pruning = WeightPruning(rate, Magnitude(), until=until, updates=moves)
    pruning.prepare(model)
    assert zeros(model) == round(start * total)
    for step in range(1, 201):
        progress = step / 200
        pruning.step(progress)
        p = min(int(progress / until * moves + 1e-9), moves) / moves
        expected = start + (rate - start) * (1 - (1 - p) ** 3)
        assert zeros(model) == pytest.approx(expected * total, abs=1)
        assert pruning.ready == (progress >= until)
    assert zeros(model) == round(rate * total)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_is_pruned_stays_pruned_while_training_goes_on(optimizer: str) -> None:
    model = small()
    descent = OPTIMIZERS[optimizer](model.parameters())
    pruning = WeightPruning(0.7, Magnitude(), until=0.5, updates=4)
    pruning.prepare(model)
    dropped = np.zeros(weights(model).size, dtype=bool)

    def after(progress: float) -> None:
        nonlocal dropped
        pruning.step(progress)
        now = weights(model) == 0
        assert not (dropped & ~now).any(), "a dropped weight came back"
        dropped = now

    train(model, descent, 20, after)
    assert dropped.sum() == round(0.7 * dropped.size)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_later_training_keeps_the_zeros_and_trains_the_rest(optimizer: str) -> None:
    model = small()
    WeightPruning(0.6, Magnitude(), until=0.0).prepare(model)
    before = weights(model)
    hold = Sparse(["0", "3", "5"]).constraint(model)
    train(model, OPTIMIZERS[optimizer](model.parameters()), 10, lambda _: hold())
    after = weights(model)
    np.testing.assert_array_equal(after == 0, before == 0)
    assert (after != before)[before != 0].mean() > 0.5  # not those behind a dead ReLU
    assert zeros(model) == round(0.6 * before.size)


def test_structure_is_held_wherever_the_trainer_moves_the_weights() -> None:
    """A change of device, dtype or layout gives parameters new memory."""
    model = small()
    pruning = WeightPruning(0.6, Magnitude(), until=0.9)
    pruning.prepare(model)
    pruning.step(1.0)
    hold = pruning.finish()[0].constraint(model)
    assert hold is not None
    model.double().to(memory_format=torch.channels_last)
    for project in (hold, lambda: pruning.step(1.0)):
        for parameter in model.parameters():
            parameter.data.add_(1.0)
        project()
        assert zeros(model) == round(0.6 * weights(model).size)


def test_a_second_higher_rate_keeps_the_zeros_of_the_first() -> None:
    model = small()
    WeightPruning(0.5, Magnitude(), scope=layerwise_threshold, until=0.0).prepare(model)
    first = weights(model) == 0
    # By these scores alone, the zeros would be the last to go.
    upside_down = WeightPruning(0.8, lambda _, w: -w.detach().abs(), scope=layerwise_threshold)
    upside_down.prepare(model)
    upside_down.step(1.0)
    now = weights(model) == 0
    assert not (first & ~now).any()
    assert now.sum() == sum(round(0.8 * w.numel()) for w in prunable(model).values())


def test_a_lower_rate_than_the_model_has_changes_nothing() -> None:
    model = small()
    WeightPruning(0.8, Magnitude(), until=0.0).prepare(model)
    before = weights(model)
    again = WeightPruning(0.5, Magnitude())
    again.prepare(model)
    np.testing.assert_array_equal(weights(model), before)
    train(model, OPTIMIZERS["adam"](model.parameters()), 4, again.step)
    np.testing.assert_array_equal(weights(model) == 0, before == 0)


def test_excluded_layers_are_left_alone_and_not_counted() -> None:
    model = small()
    untouched = {name: model.get_parameter(f"{name}.weight").clone() for name in ("0", "5")}
    pruning = WeightPruning(0.5, Magnitude(), exclude=["0", "[4-9]"])
    pruning.prepare(model)
    pruning.step(1.0)
    for name, weight in untouched.items():
        assert torch.equal(model.get_parameter(f"{name}.weight"), weight)
    assert sparsity({"3": model.get_parameter("3.weight")}) == 0.5
    assert pruning.finish() == [Sparse(["3"])]


def test_a_rate_that_would_empty_a_layer_is_refused_by_name() -> None:
    model = small()
    model.get_parameter("0.weight").data.mul_(1e-6)
    pruning = WeightPruning(0.5, Magnitude(), until=0.0)
    with pytest.raises(ConfigError, match=r"prune.rate=0.5: .*\(0 would be empty\).*exclude"):
        pruning.prepare(model)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rate": 1.0}, "prune.rate=1.0: must be .* up to, not including, 1"),
        ({"rate": -0.1}, "prune.rate=-0.1: "),
        ({"rate": float("nan")}, "prune.rate=nan: "),
        ({"until": 1.0}, "prune.until=1.0: "),
        ({"until": -1}, "prune.until=-1: "),
    ],
    ids=str,
)
def test_what_pruning_refuses(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        WeightPruning(criterion=Magnitude(), **{"rate": 0.5, **settings})


def test_excluding_every_layer_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"prune.exclude=\['\*'\]: "):
        WeightPruning(0.5, Magnitude(), exclude=["*"]).prepare(small())
    with pytest.raises(ConfigError, match=r"quantize.exclude=\['\*'\]: "):
        PostTraining(exclude=["*"])(small(), randn(8, 1, 8, 8))


# --- quantisation


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_weights_lie_on_a_symmetric_grid_of_so_many_bits(bits: int) -> None:
    model = small()
    model.get_parameter("3.weight").data[randn(20, 216) > 0] = 0
    model.get_parameter("3.weight").data[2] = 0  # a channel that is all zeros
    before = copy.deepcopy(model)
    (operation,) = PostTraining(bits, None)(model, randn(32, 1, 8, 8))
    assert operation == Quantized(["0", "3", "5"], bits, None, 32)
    for name in ("0", "3", "5"):
        real = before.get_parameter(f"{name}.weight").detach().flatten(1).double().numpy()
        made = model.get_parameter(f"{name}.weight").detach().flatten(1).double().numpy()
        step = np.abs(real).max(axis=1) / (2 ** (bits - 1) - 1)
        assert max(len(np.unique(channel)) for channel in made) <= 2**bits - 1
        assert (np.abs(made - real) <= step[:, None] / 2 + 1e-7).all()
        assert (made[real == 0] == 0).all()
        np.testing.assert_allclose(np.abs(made).max(axis=1), np.abs(real).max(axis=1), rtol=1e-6)


def test_a_channel_of_vanishing_weights_stays_finite() -> None:
    weight = torch.tensor([[1e-45, 0.0], [1e-39, -1e-39], [0.0, 0.0], [1.0, -0.5]])
    scale, _ = grid(weight.amin(1), weight.amax(1), 8, symmetric=True)
    assert torch.isfinite(weight / scale[:, None]).all()
    # No denormals: training flushes them to zero, and would divide by it.
    assert (scale >= torch.finfo(torch.float32).tiny).all()
    assert scale[3].item() == pytest.approx(1 / 127)


@pytest.mark.parametrize("bits", [2, 8])
@pytest.mark.parametrize(
    ("low", "high"), [(-1.0, 3.0), (0.0, 6.0), (2.0, 6.0), (-5.0, -1.0), (-0.01, 100.0), (0.0, 0.0)]
)
def test_an_affine_range_covers_what_was_seen_and_holds_zero(
    low: float, high: float, bits: int
) -> None:
    scale, zero_point = (
        v.item() for v in affine_range(torch.tensor(low), torch.tensor(high), bits)
    )
    assert zero_point == int(zero_point)
    assert 0 <= zero_point <= 2**bits - 1  # so that the code z stands for 0 exactly
    slack = scale / 2 + 1e-6  # rounding z shifts the grid by half a step at most
    assert scale * (0 - zero_point) <= min(low, 0) + slack
    assert scale * (2**bits - 1 - zero_point) >= max(high, 0) - slack
    if high > low:
        span = max(high, 0) - min(low, 0)
        assert scale * (2**bits - 1) == pytest.approx(span, rel=1e-5)


def test_inputs_are_rounded_as_numpy_rounds_them() -> None:
    quantizer = InputQuantizer(8)
    scale, zero_point = affine_range(torch.tensor(-1.5), torch.tensor(4.0))
    quantizer.scale.copy_(scale)
    quantizer.zero_point.copy_(zero_point)
    x = torch.cat([4 * randn(1000), torch.zeros(1), torch.tensor([100.0, -100.0])])
    s, z = np.float32(scale.item()), np.float32(zero_point.item())
    codes = np.clip(np.rint(x.numpy() / s) + z, 0, 255)
    np.testing.assert_array_equal(quantizer(x).numpy(), (codes - z) * s)
    assert quantizer(torch.zeros(1)).item() == 0


def test_input_ranges_are_those_of_every_calibration_image() -> None:
    model = small()
    images = randn(600, 1, 8, 8)
    images[599, 0, 0, 0] = 50.0  # in the last part of several
    seen = []
    model[5].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(images)
    hidden = seen[0]
    PostTraining(8, 8)(model, images)
    names = ("0.input_quantizer", "5.input_quantizer")
    layers: list[Any] = [model.get_submodule(name) for name in names]
    first, last = layers
    expected = affine_range(images.min(), images.max())
    assert (first.scale, first.zero_point) == expected
    assert last.scale.item() == pytest.approx(hidden.max().item() / 255)
    assert last.zero_point.item() == 0


def test_simulated_activations_take_as_many_values_as_their_bits() -> None:
    model = small()
    PostTraining(8, 3)(model, randn(64, 1, 8, 8))
    seen = []
    model[3].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(randn(64, 1, 8, 8, seed=5))
    assert 4 <= len(seen[0].unique()) <= 8


@pytest.mark.parametrize("name", ["resnet8", "mobilenet_v2", "wrn_16_1"])
def test_folding_batch_norms_keeps_the_outputs(network: Any, name: str) -> None:
    _, model = network(name, (1, 16, 16))
    image = randn(8, 1, 16, 16)
    before = model(image)
    pairs = foldable(model)
    FoldBatchNorm(pairs).apply(model)
    assert pairs
    for _, norm in pairs:
        assert isinstance(model.get_submodule(norm), nn.Identity)
    torch.testing.assert_close(model(image), before, rtol=1e-4, atol=1e-5)


def test_resnets_have_all_their_batch_norms_folded(network: Any) -> None:
    _, model = network("resnet8")
    FoldBatchNorm(foldable(model)).apply(model)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())


class Awkward(nn.Module):
    """Batch norms that must not be folded into what stands before them."""

    def __init__(self) -> None:
        super().__init__()
        self.read_twice, self.up = nn.Conv2d(1, 4, 3, padding=1), nn.ConvTranspose2d(4, 4, 2)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(3))

    def forward(self, image: Tensor) -> Tensor:
        x = self.read_twice(image)
        x = self.norms[0](x) + x
        x = self.norms[1](self.up(x))
        return self.norms[2](input=torch.relu(x)).mean(dim=(2, 3))


def test_only_what_can_be_folded_is() -> None:
    model = Awkward()
    for norm in model.norms:
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.uniform_(norm.weight, 0.5, 2)
    model.eval()
    image = randn(4, 1, 8, 8)
    before = model(image)
    FoldBatchNorm(foldable(model)).apply(model)
    torch.testing.assert_close(model(image), before)
    assert isinstance(model.norms[0], nn.BatchNorm2d)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_codes_in_a_byte_decode_to_the_same_bits(bits: int) -> None:
    model = small()
    (operation,) = PostTraining(bits, 8)(model, randn(32, 1, 8, 8))
    state = model.state_dict()
    stored = operation.encode(state)
    top = 2 ** (bits - 1) - 1
    for name in ("0", "3", "5"):
        assert stored[f"{name}.weight"].dtype == torch.int8
        assert stored[f"{name}.weight"].abs().max() == top
    decoded = operation.decode(stored)
    assert decoded.keys() == state.keys()
    assert all(torch.equal(decoded[key], state[key]) for key in state)


def test_sparse_weights_take_a_bit_and_the_values_that_are_left() -> None:
    model = small()
    WeightPruning(0.75, Magnitude(), scope=layerwise_threshold, until=0.0).prepare(model)
    state, operation = model.state_dict(), Sparse(["0", "3", "5"])
    stored = operation.encode(state)
    n = state["3.weight"].numel()
    parts = [t.nbytes for key, t in stored.items() if key.startswith("3.weight")]
    assert sum(parts) == n // 8 + 4 * n // 4 + 8  # bits, values, two int32 of shape
    decoded = operation.decode(stored)
    assert decoded.keys() == state.keys()
    assert all(torch.equal(decoded[key], state[key]) for key in state)
    dense = small().state_dict()
    assert operation.encode(dense).keys() == dense.keys()  # packing would be larger


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bits": 0}, "quantize.bits=0: must be a whole number from 1 to 8"),
        ({"bits": 33}, "quantize.bits=33: "),
        ({"first_last": 9}, "quantize.first_last=9: "),
        ({"ranges": "max"}, "quantize.ranges=max: must be minmax, mse, or a percentile"),
        ({"ranges": 20}, "quantize.ranges=20: "),
        ({"rounding": "up"}, "quantize.rounding=up: must be nearest or adaptive"),
        ({"bits": 1, "affine": True}, "quantize.affine=true: must be false with 1 bit"),
        ({"bits": 9}, "quantize.bits=9: "),
        ({"activation_bits": 16}, "quantize.activation_bits=16: "),
    ],
    ids=str,
)
def test_what_quantisation_refuses(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PostTraining(**settings)


# --- operations as data


def test_operations_are_json_and_back() -> None:
    done = [
        Sparse(["a"]),
        FoldBatchNorm([["a", "b"]]),
        Quantized(["a"], 4, None, 7),
    ]
    assert [Operation.from_json(one.to_json()) for one in done] == done
    assert done[2].to_json() == {
        "operation": "Quantized",
        "layers": ["a"],
        "bits": 4,
        "activation_bits": None,
        "images": 7,
        "widths": {},
        "tensors": [],
        "affine": False,
        "from_zero": False,
    }


def test_an_unknown_operation_names_the_nearest() -> None:
    with pytest.raises(DamagedError, match="'Quantised' did you mean Quantized"):
        Operation.from_json({"operation": "Quantised", "layers": []})
