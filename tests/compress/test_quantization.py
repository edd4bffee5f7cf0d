"""Rounding while training and after it: what is claimed is read back from the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from condenser.compress import (
    CalibrationData,
    FoldBatchNorm,
    KMeansSharing,
    Magnitude,
    Operation,
    PostTraining,
    PruneAndQuantize,
    QuantizationAware,
    Quantized,
    Shared,
    Sparse,
    WeightPruning,
)
from condenser.compress.quantization.aware import statistics
from condenser.compress.quantization.correction import channel_means
from condenser.compress.quantization.equalization import equalize
from condenser.compress.quantization.quantizers import InputQuantizer
from condenser.compress.quantization.sites import running_order
from condenser.errors import ConfigError
from condenser.functional import ranges
from condenser.functional.quantization import binarize, fake_quantize, ternarize

SHAPE = (1, 8, 8)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def calibration(operations: Any = (), n: int = 64) -> CalibrationData:
    images, targets = randn(n, *SHAPE, seed=5), torch.arange(n) % 10
    return CalibrationData(lambda _: [(images, targets)], F.cross_entropy, dict, operations)


def batch_normed() -> nn.Sequential:
    """Convolution and batch norm twice, with negative factors too, then linear."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU())
    net.extend([nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10)])
    for norm in (net[1], net[4]):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.normal_(norm.running_mean, std=0.3)
    return net


def step(model: nn.Module, count: int = 4, constraints: Any = (), lr: float = 0.02) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    images, targets = randn(32, *SHAPE, seed=1), torch.arange(32) % 10
    model.train()
    for _ in range(count):
        optimizer.zero_grad()
        F.cross_entropy(model(images), targets).backward()
        optimizer.step()
        for project in constraints:
            project()


def trained(model: nn.Module, before: Any = (), count: int = 4, **settings: Any) -> list[Operation]:
    """Quantisation-aware training in place, whatever ``before`` made held."""
    method = QuantizationAware(**settings)
    method.prepare(model, calibration(before))
    constraints = [
        p for p in (operation.constraint(model) for operation in before) if p is not None
    ]
    step(model, count, constraints)
    with torch.no_grad():
        method.convert(model.eval())
    return method.finish()


def quantized(model: nn.Module, operations: list[Operation]) -> dict[str, Tensor]:
    """The stored codes by layer, having checked that they give back the weights bit for bit."""
    state = {name: t.detach().clone() for name, t in model.state_dict().items()}
    (operation,) = (op for op in operations if isinstance(op, Quantized))
    coded = operation.encode(state)
    back = operation.decode(coded)
    for name, tensor in state.items():
        assert torch.equal(back[name], tensor), name
    return {name: coded[f"{name}.weight"] for name in operation.layers}


# --- gradients


@pytest.mark.parametrize("shape", [(), (3, 1)])
@pytest.mark.parametrize(("low", "high", "zero"), [(-7, 7, 0), (0, 15, 4), (-1, 1, 0), (0, 1, 0)])
def test_gradients_are_those_of_the_papers(shape: Any, low: int, high: int, zero: int) -> None:
    x = randn(3, 50).double().numpy().astype(np.float32)
    scale = np.full(shape, 0.23, np.float32)
    upstream = randn(3, 50, seed=3).numpy()
    given = torch.tensor(x, requires_grad=True), torch.tensor(scale, requires_grad=True)
    made = fake_quantize(*given, torch.tensor(float(zero)), low, high, damp=0.5)
    made.backward(torch.tensor(upstream))

    steps = x.astype(np.float64) / 0.23
    codes = np.clip(np.rint(steps) + zero, low, high)
    inside = (np.rint(steps) + zero >= low) & (np.rint(steps) + zero <= high)
    np.testing.assert_allclose(made.detach(), 0.23 * (codes - zero), rtol=1e-5)
    np.testing.assert_allclose(given[0].grad, upstream * inside, rtol=1e-6)
    # LSQ, equation 3: -v/s + round(v/s) inside, the clipped code outside
    slope = np.where(inside, np.rint(steps) - steps, codes - zero)
    expected = 0.5 * (upstream * slope)
    expected = expected.sum(1, keepdims=True) if shape else expected.sum()
    np.testing.assert_allclose(given[1].grad, expected, rtol=1e-3, atol=1e-5)


def test_the_gradient_of_a_scale_does_not_depend_on_how_the_input_lies() -> None:
    x, upstream = randn(4, 3, 5, 6), randn(4, 3, 5, 6, seed=1)
    slopes = []
    for lies in (torch.contiguous_format, torch.channels_last):
        scale = torch.tensor(0.3, requires_grad=True)
        made = fake_quantize(x.to(memory_format=lies), scale, torch.tensor(0.0), -7, 7)
        made.backward(upstream)  # lies as it will
        slopes.append(scale.grad)
    torch.testing.assert_close(*slopes)


def test_one_bit_inputs_of_both_signs_are_scaled_signs() -> None:
    x, scale = randn(1000), torch.tensor(1.6)
    made = fake_quantize(x, scale, torch.tensor(0.0), 0, 1, centre=0.5)
    np.testing.assert_allclose(made, 0.8 * np.sign(x.numpy()), rtol=1e-6)


def test_binary_and_ternary_weights_are_the_papers() -> None:
    weight = randn(4, 30).requires_grad_()
    alpha = weight.detach().abs().mean(1, keepdim=True)
    made = binarize(weight, alpha)
    made.backward(torch.ones_like(made))
    w = weight.detach().double().numpy()
    expected = np.abs(w).mean(1, keepdims=True) * np.sign(w)
    np.testing.assert_allclose(made.detach(), expected, rtol=1e-6)
    np.testing.assert_array_equal(weight.grad, np.ones_like(w))
    for row, ternary, scale in zip(
        w, *(t.detach().numpy() for t in ternarize(weight)), strict=True
    ):
        large = np.abs(row) > 0.7 * np.abs(row).mean()
        assert scale == pytest.approx(np.abs(row[large]).mean(), rel=1e-6)
        np.testing.assert_allclose(ternary, scale * np.sign(row) * large, rtol=1e-6)


# --- ranges


def test_ranges_are_numpys() -> None:
    rows = randn(3, 5001) ** 3
    low, high = ranges.percentile(rows, 99)
    np.testing.assert_allclose(low, np.percentile(rows.numpy(), 0.5, axis=1), rtol=1e-5)
    np.testing.assert_allclose(high, np.percentile(rows.numpy(), 99.5, axis=1), rtol=1e-5)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 4])
def test_no_cut_of_the_range_errs_less(bits: int, symmetric: bool) -> None:
    row = randn(4000).numpy().astype(np.float64) ** 3

    def error(low: float, high: float) -> float:
        if symmetric:
            top = 2 ** (bits - 1) - 1
            s = max(-low, high) / top
            made = np.clip(np.rint(row / s), -top, top) * s
        else:
            s = (high - low) / (2**bits - 1)
            z = np.rint(-low / s)
            made = (np.clip(np.rint(row / s) + z, 0, 2**bits - 1) - z) * s
        return float(((made - row) ** 2).mean())

    low, high = (v.item() for v in ranges.least_error(torch.tensor(row)[None], bits, symmetric))
    cuts = [error(row.min() * c / 100, row.max() * c / 100) for c in range(1, 101)]
    assert error(low, high) == pytest.approx(min(cuts), rel=1e-4)
    assert error(low, high) < 0.8 * error(row.min(), row.max())


# --- training


@pytest.mark.parametrize("learn", [True, False])
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize(
    ("bits", "affine"), [(1, False), (2, False), (3, True), (4, False), (8, True)]
)
def test_trained_weights_have_few_values_and_are_stored_as_codes(
    bits: int, affine: bool, per_channel: bool, learn: bool
) -> None:
    model = batch_normed()
    operations = trained(
        model, bits=bits, activation_bits=bits, affine=affine, per_channel=per_channel, learn=learn
    )
    assert [type(op) for op in operations] == [FoldBatchNorm, Quantized]
    for name, codes in quantized(model, operations).items():
        layer: Any = model.get_submodule(name)
        groups = layer.weight.flatten(1) if layer.weight_scale.dim() else layer.weight.view(1, -1)
        assert all(2 <= len(group.unique()) <= 2**bits for group in groups)
        assert (layer.weight_scale > 0).all() and torch.isfinite(layer.weight_scale).all()
        assert layer.weight_scale.dim() == (
            per_channel or name != "7"
        )  # a folded norm is by channel
        if affine:
            zero = layer.weight_zero_point
            assert codes.dtype == torch.uint8 and int(codes.max()) < 2**bits
            assert ((zero >= 0) & (zero < 2**bits) & (zero == zero.round())).all()
        else:
            assert codes.abs().max() <= max(2 ** (bits - 1) - 1, 1)
        quantizer = layer.input_quantizer
        assert quantizer.scale > 0 and 0 <= quantizer.zero_point < 2**bits
        seen = quantizer(randn(2000))
        assert 2 <= len(seen.unique()) <= 2**bits


@pytest.mark.parametrize("settings", [{"bits": 4}, {"bits": 3, "affine": True}, {"bits": 1}])
def test_what_was_trained_is_what_is_kept(settings: dict[str, Any]) -> None:
    """Folding a batch norm, of either sign, into codes and scales changes nothing but that biases
    are rounded to the scale of the products."""
    model, method = batch_normed(), QuantizationAware(**settings, reestimate=0)
    method.prepare(model, calibration())
    step(model)
    images = randn(40, *SHAPE, seed=9)
    before, state = model.eval()(images), model.state_dict()
    was = {name: tensor.clone() for name, tensor in state.items()}
    kept = method.kept(model, state)
    assert all(torch.equal(t, was[name]) for name, t in model.state_dict().items())
    fresh = batch_normed()
    for operation in method.finish():
        operation.apply(fresh)
    fresh.load_state_dict(kept)
    torch.testing.assert_close(fresh.eval()(images), before, atol=1e-3, rtol=2e-4)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_training_keeps_zeros_and_codebooks(bits: int) -> None:
    model = batch_normed()
    pruning = WeightPruning(0.6, Magnitude(), until=0.0)
    pruning.prepare(model)
    before: list[Operation] = list(pruning.finish())
    sharing = KMeansSharing(3)
    sharing.prepare(model, calibration())
    before += sharing.finish()
    was = {name: t.clone() for name, t in model.state_dict().items()}
    operations = trained(model, before, bits=bits, activation_bits=None)
    now = model.state_dict()
    codes = quantized(model, operations)
    for name in codes:
        gone = was[f"{name}.weight"] == 0
        assert gone.any() and (now[f"{name}.weight"][gone] == 0).all()
        assert len(codes[name].unique()) <= 2**bits + 1
    for operation in before:
        assert operation.violations(was, now) == []
    assert not any(isinstance(op, FoldBatchNorm) for op in operations)  # it would tear codebooks


def test_one_codebook_for_all_layers_stays_one() -> None:
    model = batch_normed()
    sharing = KMeansSharing(3, across=True)
    sharing.prepare(model, calibration())
    before = sharing.finish()
    was = {name: t.clone() for name, t in model.state_dict().items()}
    trained(model, before, bits=4, activation_bits=None, first_last=8)
    (shared,) = before
    assert isinstance(shared, Shared) and shared.violations(was, model.state_dict()) == []
    values = torch.cat([model.get_parameter(f"{n}.weight").flatten() for n in shared.layers])
    assert 2 < len(values.unique()) <= 8


def test_training_with_rounding_beats_rounding_afterwards() -> None:
    torch.manual_seed(0)
    first = nn.Sequential(nn.Flatten(), nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 10))
    step(first, 150, lr=0.1)
    images, targets = randn(32, *SHAPE, seed=1), torch.arange(32) % 10

    def loss(model: nn.Module) -> float:
        return F.cross_entropy(model.eval()(images), targets).item()

    after, during = copy.deepcopy(first), copy.deepcopy(first)
    PostTraining(2, 2, ranges="mse")(after, images)
    trained(during, count=100, bits=2, activation_bits=2, ranges="mse")
    assert loss(first) < loss(during) < 0.5 * loss(after)


def test_scales_are_learned_only_where_asked() -> None:
    for learn in (True, False):
        model, method = batch_normed(), QuantizationAware(4, 4, learn=learn)
        method.prepare(model, calibration())
        layer: Any = model[3]
        rounders = (layer.weight_quantizer, layer.input_quantizer)
        was = [grid.scale * (1 if grid.stretch is None else grid.stretch) for grid in rounders]
        step(model)
        now = [grid.scale * (1 if grid.stretch is None else grid.stretch) for grid in rounders]
        assert [not torch.equal(a, b) for a, b in zip(was, now, strict=True)] == [learn, learn]
        kept = method.kept(model, model.state_dict())
        torch.testing.assert_close(kept["3.input_quantizer.scale"], now[1].detach())
        assert not any("stretch" in name for name in kept)


@pytest.mark.parametrize("first", [0.01, 3.0])
def test_a_scale_steps_as_lsq_has_it_and_with_adam_by_a_share_of_itself(first: float) -> None:
    x, upstream, lr = first * 4 * randn(8, 40).abs(), randn(8, 40, seed=1), 1e-3

    def stepped(optimizer: Any) -> float:
        quantizer = InputQuantizer(3, learn=True)
        quantizer.cover(torch.tensor(0.0), torch.tensor(7 * first))
        quantizer(x).backward(upstream)
        optimizer(quantizer.parameters(), lr=lr).step()
        quantizer.settle()
        assert not list(quantizer.parameters())
        return quantizer.scale.item()

    steps = x.double().numpy() / first
    slope = np.where(np.rint(steps) <= 7, np.rint(steps) - steps, 7)
    gradient = (upstream.double().numpy() * slope).sum() / np.sqrt(40 * 7)  # LSQ, section 2.2
    assert stepped(torch.optim.SGD) == pytest.approx(first - lr * gradient, rel=1e-5)
    assert stepped(torch.optim.Adam) == pytest.approx(
        first * (1 - lr * np.sign(gradient)), rel=1e-5
    )


def test_averaged_weights_copies_and_bf16_know_nothing_of_the_rounding() -> None:
    model, method = batch_normed(), QuantizationAware(4, 4)
    method.prepare(model, calibration())
    average = AveragedModel(model)
    step(model)
    average.update_parameters(model)
    x = randn(8, *SHAPE)
    assert torch.isfinite(average(x)).all()
    with torch.autocast("cpu", torch.bfloat16):
        low = model.eval()(x)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), model(x), atol=0.35, rtol=0.1)
    with pytest.raises(RuntimeError):
        model(randn(8, 3, 8, 8))  # three channels: it fails within a layer
    weight = model.get_parameter("0.weight")
    assert model[0].weight is weight  # and the rounded weight is gone all the same


def test_one_training_prunes_and_rounds() -> None:
    """As many zeros as asked for, few values a row, and the largest weights are what is left."""
    bits, rate = 3, 0.75
    pruning = WeightPruning(rate, Magnitude(), until=0.5, updates=5)
    model, method = batch_normed(), PruneAndQuantize(bits, None, prune=pruning)
    method.prepare(model, calibration())
    convs = [model.get_submodule(name) for name in ("0", "3", "7")]
    dropped = [torch.zeros_like(layer.weight, dtype=torch.bool) for layer in convs]
    for count in range(1, 11):
        assert method.ready == (count > 5)
        step(model, 1)
        before = torch.cat([layer.weight.detach().abs().flatten() for layer in convs])
        method.step(count / 10)
        zeros = [layer.weight == 0 for layer in convs]
        assert all(bool((z | ~d).all()) for z, d in zip(zeros, dropped, strict=True)), "come back"
        dropped = zeros
        now = torch.cat([z.flatten() for z in zeros])
        assert not now.any() or before[now].max() <= before[~now].min()
    made = method.kept(model, model.state_dict())
    again, operations = batch_normed(), method.finish()
    assert [type(op) for op in operations] == [Sparse, FoldBatchNorm, Quantized]
    for operation in operations:
        operation.apply(again)
    again.load_state_dict(made)
    gone = [layer.weight.detach() == 0 for layer in (again[0], again[3], again[7])]
    assert all(bool(g[d].all()) for g, d in zip(gone, dropped, strict=True))
    assert sum(int(d.sum()) for d in dropped) == round(rate * sum(d.numel() for d in dropped))
    kept = {p.key: p.read(again, randn(1, *SHAPE)) for p in method.promises()}
    assert all(p.kept(kept[p.key]) for p in method.promises())
    assert kept["bits"] <= bits and kept["prune.rate"] == pytest.approx(rate, abs=0.01)
    torch.testing.assert_close(again.eval()(randn(4, *SHAPE)), again(randn(4, *SHAPE)))


def test_joint_needs_to_know_what_to_prune() -> None:
    with pytest.raises(ConfigError, match=r"quantize\.prune=.*must be a condenser\.compress"):
        PruneAndQuantize(4, 4)


def test_first_and_last_keep_more_bits_in_running_order() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.mid, self.first = (nn.Linear(*io) for io in ((5, 10), (6, 5), (64, 6)))

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.mid(self.first(x.flatten(1))))

    model = Backwards()
    assert running_order(model, ["last", "mid", "first"], randn(2, *SHAPE)) == [
        *("first", "mid", "last")
    ]
    method = QuantizationAware(2, 2, first_last=8)
    method.prepare(model, calibration())
    assert method.widths == {"last": (8, 8), "mid": (2, 2), "first": (8, 8)}
    (operation,) = method.finish()
    assert isinstance(operation, Quantized)
    assert [operation.bits_of(name) for name in ("last", "mid")] == [(8, 8), (2, 2)]
    assert Operation.from_json(operation.to_json()) == operation


def test_statistics_are_measured_anew() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    images = randn(300, *SHAPE)
    statistics(model, images.split(100))
    seen = model[0](images).detach().transpose(0, 1).flatten(1)
    norm: Any = model[1]
    torch.testing.assert_close(norm.running_mean, seen.mean(1), atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(norm.running_var, seen.var(1), atol=1e-2, rtol=1e-2)
    assert norm.momentum == 0.1 and not norm.training


# --- after training


def relu_net() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3))
    net.extend([nn.ReLU(), nn.Flatten(), nn.Linear(8, 10)])
    with torch.no_grad():
        sizes = torch.logspace(-1.5, 1.5, 6)
        net[0].weight.mul_(sizes.view(-1, 1, 1, 1))
        net[0].bias.mul_(sizes)
        net[3].weight.div_(sizes.view(1, -1, 1, 1))  # small channels count as much as large ones
    return net


def test_equalisation_keeps_the_function_and_evens_out_the_ranges() -> None:
    model, images = relu_net(), randn(20, *SHAPE)
    before = model(images)
    assert equalize(model, ["0", "3", "6"]) == [("0", "3"), ("3", "6")]
    torch.testing.assert_close(model(images), before, atol=1e-4, rtol=1e-4)
    for layer, reader in ((model[0], model[3]), (model[3], model[6])):
        made = layer.weight.detach().abs().flatten(1).amax(1)
        read = reader.weight.detach().abs().transpose(0, 1).flatten(1).amax(1)
        torch.testing.assert_close(made, read, atol=1e-3, rtol=0.02)


@torch.no_grad()
def test_equalisation_helps_one_scale_for_a_whole_weight() -> None:
    images = randn(64, *SHAPE)
    errors = {}
    for even in (False, True):
        model = relu_net()
        exact = model(images)
        PostTraining(4, None, per_channel=False, equalize=even)(model, images)
        errors[even] = (model(images) - exact).square().mean().item()
    assert errors[True] < 0.5 * errors[False]


@torch.no_grad()
def test_corrected_biases_keep_the_mean_outputs() -> None:
    images, model = randn(64, *SHAPE), relu_net()
    exact = channel_means(model, ["0", "3", "6"], images)
    by_hand = model[0](images).double().mean((0, 2, 3))
    torch.testing.assert_close(exact["0"], by_hand)
    plain, corrected = copy.deepcopy(model), copy.deepcopy(model)
    PostTraining(3, 4)(plain, images)
    PostTraining(3, 4, correct_bias=True)(corrected, images)
    for name in exact:
        off = (channel_means(corrected, [name], images)[name] - exact[name]).abs().max()
        assert off < 1e-5
        assert off < (channel_means(plain, [name], images)[name] - exact[name]).abs().max()


def test_adaptive_rounding_goes_up_or_down_and_errs_less() -> None:
    images = randn(256, *SHAPE)
    exact = relu_net()
    wanted, errors = exact(images).detach(), {}
    for how in ("nearest", "adaptive"):
        model = copy.deepcopy(exact)
        operations = PostTraining(3, None, rounding=how)(model, images)
        quantized(model, operations)
        errors[how] = (model(images) - wanted).square().mean().item()
        for name in ("0", "3", "6"):
            layer: Any = model.get_submodule(name)
            steps = (layer.weight - exact.get_parameter(f"{name}.weight")).flatten(1)
            assert ((steps / layer.weight_scale[:, None]).abs() <= 1 + 1e-4).all()
    assert errors["adaptive"] < 0.8 * errors["nearest"]


@pytest.mark.parametrize("how", ["mse", 99.0])
def test_outliers_cost_less_with_ranges_that_leave_them_out(how: Any) -> None:
    images, errors = randn(64, *SHAPE), {}
    images[0, 0, 0, 0] = 30.0
    for found in ("minmax", how):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        exact = model(images[1:]).detach()
        PostTraining(8, 4, ranges=found)(model, images)
        errors[found] = (model(images[1:]) - exact).square().mean().item()
    assert errors[how] < 0.6 * errors["minmax"]


# --- bits by layer


def test_a_byte_budget_is_spent_where_it_pays() -> None:
    model, images = relu_net(), randn(64, *SHAPE)
    sizes = {name: model.get_parameter(f"{name}.weight").numel() for name in ("0", "3", "6")}
    every = sum(sizes.values()) * 4 // 8
    method = PostTraining(8, None, budget=every)
    operations = method(copy.deepcopy(model), images)
    bits = {name: pair[0] for name, pair in method.widths.items()}
    assert sum(-(-sizes[name] * bits[name] // 8) for name in sizes) <= every
    assert len(set(bits.values())) > 1
    assert max(bits.values()) <= 8 and min(bits.values()) >= 2
    uneven, even = copy.deepcopy(model), copy.deepcopy(model)
    PostTraining(8, None, budget=every)(uneven, images)
    PostTraining(4, None)(even, images)

    def kl(network: nn.Module) -> float:
        given = F.log_softmax(model(images), 1)
        return F.kl_div(
            F.log_softmax(network(images), 1), given, log_target=True, reduction="batchmean"
        ).item()

    assert kl(uneven) < kl(even)
    quantized(uneven, operations)
    with pytest.raises(ConfigError, match=r"quantize.budget=10: must be at least \d+: all weig"):
        PostTraining(8, None, budget=10)(model, images)


# --- attention


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.head = nn.Linear(16, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.embed(image[:, 0])
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.head(x.mean(1))


@pytest.mark.parametrize("aware", [True, False])
def test_attentions_projections_are_rounded_too(aware: bool) -> None:
    torch.manual_seed(0)
    model = Attending()
    if aware:
        was = copy.deepcopy(model)
        operations = trained(model, bits=3, activation_bits=8)
        assert not torch.equal(was.attention.in_proj_weight, model.attention.in_proj_weight)
    else:
        operations = PostTraining(3, 8)(model, randn(32, *SHAPE))
    (operation,) = operations
    assert isinstance(operation, Quantized)
    assert operation.layers == ["embed", "attention", "attention.out_proj", "head"]
    assert operation.bits_of("attention.out_proj") == (3, None)  # its input is within attention
    for weight in (model.attention.in_proj_weight, model.attention.out_proj.weight):
        assert all(2 <= len(row.unique()) <= 7 for row in weight)
    state = model.state_dict()
    coded = operation.encode(state)
    assert coded["attention.in_proj_weight"].dtype == torch.int8
    back = operation.decode(coded)
    assert all(torch.equal(back[name], state[name]) for name in state)


# --- refused


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weights": "binary"}, "quantize.weights=binary: must be uniform or ternary"),
        ({"weights": "ternary", "bits": 4}, "quantize.weights=ternary: must be .*bits=2"),
        ({"reestimate": True}, "quantize.reestimate=true: must be how many training images"),
        ({"reestimate": -1}, "quantize.reestimate=-1: "),
    ],
)
def test_what_training_refuses(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        QuantizationAware(**settings)


@pytest.mark.parametrize("make", [PostTraining, QuantizationAware])
def test_no_images_are_missed_in_words(make: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"quantize.images=7: must be training images to find"):
        make(images=7).prepare(relu_net(), None)
    with pytest.raises(ConfigError, match=r"quantize.exclude=\['\*'\]: must be patterns that"):
        make(exclude=["*"]).check(relu_net(), randn(1, *SHAPE))


def test_sparse_weights_are_counted_by_their_zeros_apart() -> None:
    model = batch_normed()
    pruning = WeightPruning(0.5, Magnitude(), until=0.0)
    pruning.prepare(model)
    before = pruning.finish()
    assert isinstance(before[0], Sparse)
    codes = quantized(model, trained(model, before, bits=1, activation_bits=1))
    assert all(set(c.unique().tolist()) == {-1, 0, 1} for c in codes.values())
