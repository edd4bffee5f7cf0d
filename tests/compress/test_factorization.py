"""A factorised layer is the product that it claims to be, and as small."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from places import GOLDENS
from torch import Tensor, nn

from condenser import deploy, measure
from condenser.checkpoint.model_spec import load, save
from condenser.compress import (
    CalibrationData,
    Factorization,
    Factorized,
    PostTraining,
    Quantized,
    Sparse,
)
from condenser.compress.factorization.kinds import KINDS, Positions
from condenser.compress.factorization.layers import factorable, second_moments, sites_of
from condenser.compress.factorization.ranks import RankOption, by_energy
from condenser.errors import ConfigError
from condenser.functional.budget_allocation import allocate, hull
from condenser.functional.low_rank import tucker2, tucker2_energy

GOLDEN = json.loads((GOLDENS / "tucker.json").read_text())["cases"]


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def rebuilt(
    layer: Any, kind: str, ranks: Sequence[int], moment: Tensor | None = None
) -> nn.Sequential:
    """The stand-in for a layer with its factors, by way of the operation."""
    model = nn.Sequential(copy.deepcopy(layer))
    Factorized({"0": {"kind": kind, "ranks": list(ranks)}}).apply(model)
    with torch.no_grad():
        RankOption("0", layer, kind, moment=moment).fill(model[0], ranks)
    assert isinstance(model[0], nn.Sequential)
    return model[0]


def kernel_of(parts: nn.Module, like: Tensor) -> np.ndarray:
    """The weight (out, in, h, w) that a chain of unpadded layers multiplies by: what it answers,
    less its bias, to an image that is 1 at one place and 0 elsewhere."""
    size = like.shape[1:].numel()
    impulses = torch.eye(size, dtype=like.dtype).view(size, *like.shape[1:])
    with torch.no_grad():
        answers = parts(impulses) - parts(torch.zeros_like(impulses))
    return answers.reshape(size, like.shape[0]).T.reshape(like.shape).double().numpy()


def unfolded(kind: str, weight: np.ndarray) -> np.ndarray:
    """The matrix whose rank a kind lowers."""
    out, in_, *sides = weight.shape
    if kind == "svd":
        return weight.reshape(out, -1)
    rows = [
        [weight[o, i, y, x] for o in range(out) for x in range(sides[1])]
        for i in range(in_)
        for y in range(sides[0])
    ]
    return np.array(rows)


# --- a layer and its stand-in

LINEAR = [nn.Linear(7, 5), nn.Linear(4, 9, bias=False)]
CONV = [
    {"kernel_size": 3},
    {"kernel_size": 3, "stride": 2, "padding": 1, "bias": False},
    {"kernel_size": 3, "stride": (1, 2), "padding": (0, 2), "dilation": (2, 1)},
    {"kernel_size": (3, 5), "padding": (2, 1), "padding_mode": "circular"},
    {"kernel_size": (5, 3), "padding": "same", "dilation": 2, "bias": False},
    {"kernel_size": 3, "padding": 2, "stride": 3, "padding_mode": "reflect"},
    {"kernel_size": 2, "padding": "valid"},
    {"kernel_size": (1, 3), "padding": (0, 1)},
    {"kernel_size": 1, "stride": 2, "padding": 1},
]


def full_ranks(kind: str, weight: Tensor) -> tuple[int, ...]:
    out, in_, height, width = weight.shape
    if kind == "tucker":
        return out, in_
    return (min(out, in_ * height * width) if kind == "svd" else min(in_ * height, out * width),)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", CONV, ids=str)
@torch.no_grad()
def test_at_full_rank_a_convolution_answers_as_before(kind: str, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, **settings)
    parts = rebuilt(layer, kind, full_ranks(kind, layer.weight))
    image = randn(2, 4, 11, 12)
    torch.testing.assert_close(parts(image), layer(image), rtol=1e-5, atol=1e-5)
    biases = [part.bias is not None for part in parts]
    assert biases == [False] * (len(parts) - 1) + [layer.bias is not None]


@pytest.mark.parametrize("layer", LINEAR, ids=str)
@pytest.mark.parametrize("shape", [(3,), (2, 3, 4)])
def test_at_full_rank_a_linear_layer_answers_as_before(layer: Any, shape: tuple[int, ...]) -> None:
    parts = rebuilt(layer, "svd", [min(layer.weight.shape)])
    x = randn(*shape, layer.in_features)
    torch.testing.assert_close(parts(x), layer(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["svd", "spatial"])
@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (5, 7, 2, 4), (8, 3, 1, 1)])
def test_what_is_lost_is_the_singular_values_that_are_dropped(
    kind: str, shape: tuple[int, ...]
) -> None:
    """‖W - Ŵ‖² = Σ_{i>r} σᵢ², by NumPy's singular values of a matrix written out in loops."""
    layer = nn.Conv2d(shape[1], shape[0], shape[2:], dtype=torch.float64)  # type: ignore[arg-type]
    weight = layer.weight.detach()
    values = np.linalg.svd(unfolded(kind, weight.numpy()), compute_uv=False)
    kept = RankOption("0", layer, kind).kept.numpy()
    np.testing.assert_allclose(kept, np.cumsum(values**2) / np.sum(values**2), rtol=1e-12)
    for rank in (1, 2, len(values)):
        lost = np.linalg.norm(weight.numpy() - kernel_of(rebuilt(layer, kind, [rank]), weight))
        assert lost == pytest.approx(np.sqrt((values[rank:] ** 2).sum()), rel=1e-9, abs=1e-12)


def test_the_two_factors_of_a_matrix_are_of_one_size() -> None:
    layer = nn.Linear(30, 20)
    reduce, expand = rebuilt(layer, "svd", [6])
    rows, columns = (torch.as_tensor(part.weight.detach()) for part in (reduce, expand))
    torch.testing.assert_close(rows.norm(dim=1), columns.norm(dim=0))


def product(core: Tensor, out: Tensor, in_: Tensor) -> Tensor:
    return torch.einsum("abhw,oa,ib->oihw", core, out, in_)


@pytest.mark.parametrize("case", GOLDEN, ids=str)
def test_tucker_2_comes_to_tensorlys_optimum(case: dict[str, Any]) -> None:
    i = np.arange(np.prod(case["shape"]), dtype=float)
    kernel = torch.from_numpy(np.sin(0.37 * i**2 + 0.1 * i).reshape(case["shape"]))
    p, core, q = tucker2(kernel, tuple(case["ranks"]), sweeps=300)
    error = torch.linalg.vector_norm(kernel - product(core, p, q)).item()
    assert error == pytest.approx(case["error"], rel=1e-9)


@pytest.mark.parametrize("ranks", [(1, 1), (3, 2), (2, 5), (6, 1)])
def test_tucker_2_loses_less_than_its_two_unfoldings_do(ranks: tuple[int, int]) -> None:
    """De Lathauwer: HOSVD's ‖W - Ŵ‖² ≤ Σ of what both modes drop; every sweep lowers it."""
    kernel = randn(6, 5, 3, 3, dtype=torch.float64)
    modes = [kernel.flatten(1).numpy(), kernel.transpose(0, 1).flatten(1).numpy()]
    bases = [np.linalg.svd(mode)[0][:, :r] for mode, r in zip(modes, ranks, strict=True)]
    dropped = [np.linalg.svd(m, compute_uv=False)[r:] for m, r in zip(modes, ranks, strict=True)]
    core = np.einsum("oihw,oa,ib->abhw", kernel.numpy(), *bases)
    hosvd = np.linalg.norm(kernel) ** 2 - np.linalg.norm(core) ** 2
    kept = tucker2_energy(kernel)[ranks[0] - 1, ranks[1] - 1].item()
    assert kept == pytest.approx(np.linalg.norm(core) ** 2 / np.linalg.norm(kernel) ** 2, rel=1e-9)
    assert hosvd <= sum((d**2).sum() for d in dropped) + 1e-9
    errors = []
    for sweeps in (1, 2, 4, 8):
        p, core_, q = tucker2(kernel, ranks, sweeps)
        torch.testing.assert_close(p.T @ p, torch.eye(ranks[0], dtype=torch.float64))
        torch.testing.assert_close(q.T @ q, torch.eye(ranks[1], dtype=torch.float64))
        errors.append((kernel - product(core_, p, q)).square().sum().item())
    assert errors[0] <= hosvd + 1e-9
    assert all(b <= a + 1e-9 for a, b in itertools.pairwise(errors))


def of_rank(kind: str, ranks: Sequence[int]) -> Any:
    """A layer (out 8, in 6, 3×3) whose weight is a product of such ranks, in float32."""
    layer = nn.Conv2d(6, 8, 3)
    if kind == "svd":
        weight = randn(8, ranks[0]) @ randn(ranks[0], 54, seed=1)
    elif kind == "spatial":
        columns, rows = randn(ranks[0], 6, 3), randn(ranks[0], 8, 3, seed=1)
        weight = torch.einsum("riy,rox->oiyx", columns, rows)
    else:
        bases = randn(8, ranks[0], seed=1), randn(6, ranks[1], seed=2)
        weight = product(randn(*ranks, 3, 3), *bases)
    layer.weight.data = weight.reshape(8, 6, 3, 3).contiguous()
    return layer


@pytest.mark.parametrize(
    ("kind", "ranks"), [("svd", [3]), ("spatial", [5]), ("tucker", [4, 2]), ("tucker", [3, 3])]
)
@torch.no_grad()
def test_a_layer_that_is_a_product_is_found_out(kind: str, ranks: list[int]) -> None:
    layer = of_rank(kind, ranks)
    assert by_energy(RankOption("0", layer, kind), 1.0) == ranks
    image = randn(3, 6, 7, 7)
    answer = layer(image)
    parts = rebuilt(layer, kind, ranks)
    torch.testing.assert_close(parts(image), answer, rtol=1e-5, atol=1e-5 * answer.abs().max())


@pytest.mark.parametrize("kind", KINDS)
def test_what_factors_cost_is_read_from_the_layers(kind: str) -> None:
    """Their weights, and their multiply-accumulates as torch counts them."""
    layer = nn.Conv2d(5, 7, (3, 4), stride=(2, 1), padding=(1, 2), bias=False)
    ranks = (3, 2) if kind == "tucker" else (3,)
    model = nn.Sequential(layer)
    offer = RankOption("0", layer, kind)
    image = randn(1, 5, 12, 9)
    sites = sites_of(model, {"0": layer}, image)["0"]
    assert sites == Positions(12 * 9, 6 * 9, 6 * 10)
    parts = rebuilt(layer, kind, ranks)
    assert offer.price(ranks) == measure.size(parts)["params"]
    assert RankOption("0", layer, kind, sites).price(ranks) == measure.compute(parts, image)["macs"]
    assert offer.cost[tuple(r - 1 for r in ranks)] == offer.price(ranks)
    assert RankOption("0", layer, kind, sites).whole == measure.compute(model, image)["macs"]


def test_a_stand_in_is_of_the_layers_kind_and_mode() -> None:
    layer = nn.Conv2d(4, 4, 3, dtype=torch.float64).eval()
    parts = rebuilt(layer, "tucker", [2, 2])
    assert not any(module.training for module in parts.modules())
    assert {p.dtype for p in parts.parameters()} == {torch.float64}
    assert all(p.requires_grad for p in parts.parameters())
    assert [name for name, _ in parts.named_children()] == ["reduce", "core", "expand"]


# --- with an eye on the data


@torch.no_grad()
@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(12, 9),
        nn.Conv2d(3, 6, 3, stride=2, padding=1),
        nn.Conv2d(3, 6, (2, 3), dilation=2, padding=(1, 2), padding_mode="reflect", bias=False),
        nn.Conv2d(3, 6, 3, padding="same"),
    ],
    ids=str,
)
def test_whitened_factors_are_the_nearest_in_what_comes_out(layer: Any) -> None:
    """Σ ‖Wx - Ŵx‖² over the images is what the dropped singular values of W·S say, and less than
    the weights' own SVD leaves."""
    layer = layer.double()
    linear = isinstance(layer, nn.Linear)
    x = randn(400, 12, dtype=torch.float64) if linear else randn(40, 3, 8, 8, dtype=torch.float64)
    x = x * torch.linspace(0.1, 3, x.shape[1], dtype=x.dtype).view(-1, *[1] * (x.dim() - 2))
    moment = second_moments(nn.Sequential(layer), {"0": layer}, x)["0"]
    kept = RankOption("0", layer, "svd", moment=moment).kept
    bias = 0 if layer.bias is None else layer.bias.view(-1, *[1] * (x.dim() - 2))
    whole = (layer(x) - bias).square().sum().item()
    for rank in (1, 3):
        lost = (rebuilt(layer, "svd", [rank], moment)(x) - layer(x)).square().sum().item()
        assert lost == pytest.approx((1 - kept[rank - 1].item()) * whole, rel=1e-6)
        assert lost < (rebuilt(layer, "svd", [rank])(x) - layer(x)).square().sum().item()


@torch.no_grad()
def test_inputs_that_never_vary_do_not_break_whitening() -> None:
    """MNIST's border is one value in all images."""
    layer = nn.Linear(6, 6)
    x = randn(50, 6)
    x[:, 2:] = 0
    moment = second_moments(nn.Sequential(layer), {"0": layer}, x)["0"]
    parts = rebuilt(layer, "svd", [2], moment)
    torch.testing.assert_close(parts(x), layer(x), rtol=1e-4, atol=1e-4)
    full = rebuilt(layer, "svd", [6], moment)
    torch.testing.assert_close(full(randn(5, 6)), layer(randn(5, 6)), rtol=1e-3, atol=1e-3)


# --- one budget for all


def ladders(seed: int) -> dict[str, tuple[list[int], list[float]]]:
    rng = np.random.default_rng(seed)
    return {
        name: (rng.integers(1, 40, n).tolist(), rng.normal(size=n).round(2).tolist())
        for name, n in (("a", 5), ("b", 4), ("c", 6))
    }


@pytest.mark.parametrize("seed", range(10))
def test_no_allotment_is_worth_more_at_the_costs_that_a_price_leads_to(seed: int) -> None:
    """Everett's theorem, against all choices: at any price λ of a unit of cost, each layer's best
    of worth - λ·cost make together what no other choice of that cost is worth."""
    layers = ladders(seed)
    every = [
        [
            sum(layer[side][i] for layer, i in zip(layers.values(), choice, strict=True))
            for side in (0, 1)
        ]
        for choice in itertools.product(*[range(len(costs)) for costs, _ in layers.values()])
    ]
    costs, worths = np.array(every).T
    for price in np.geomspace(1e-3, 1, 40):
        budget = int(costs[np.argmax(worths - price * costs)])
        chosen = allocate(layers, budget)
        cost, worth = (sum(layers[n][side][i] for n, i in chosen.items()) for side in (0, 1))
        assert cost <= budget
        assert worth == pytest.approx(worths[costs <= budget].max())


def test_an_allotment_keeps_to_its_budget_and_refuses_one_that_is_too_small() -> None:
    layers = ladders(0)
    least = sum(min(costs) for costs, _ in layers.values())
    for budget in range(least, 130):
        chosen = allocate(layers, budget)
        assert sum(layers[name][0][i] for name, i in chosen.items()) <= budget
    assert chosen == {name: int(np.argmax(worth)) for name, (_, worth) in layers.items()}
    with pytest.raises(ValueError, match=f"must be {least} or more"):
        allocate(layers, least - 1)


@pytest.mark.parametrize("seed", range(10))
def test_no_mix_of_two_choices_beats_one_on_the_hull(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cost, worth = rng.integers(1, 100, 30).tolist(), rng.normal(size=30).tolist()
    path = hull((cost, worth))
    assert cost[path[0]] == min(cost) and worth[path[-1]] == max(worth)
    xs, ys = [cost[i] for i in path], [worth[i] for i in path]
    assert xs == sorted(set(xs)) and ys == sorted(ys)
    for c, w in zip(cost, worth, strict=True):
        assert w <= np.interp(c, xs, ys) + 1e-9


# --- the compression


def calibration(shape: tuple[int, int, int] = (1, 8, 8), scale: float = 1.0) -> CalibrationData:
    def in_parts(n: int) -> list[tuple[Tensor, Tensor]]:
        return [(scale * randn(n, *shape), torch.arange(n) % 10)]

    return CalibrationData(in_parts, F.cross_entropy, dict)


def weights_of(model: nn.Module, name: str) -> np.ndarray:
    return model.get_parameter(f"{name}.weight").detach().double().numpy()


@pytest.mark.parametrize("energy", [0.2, 0.5, 0.7])
@pytest.mark.parametrize("convolutions", ["svd", "spatial", "tucker"])
def test_the_energy_asked_for_is_kept_and_with_less_rank_it_is_not(
    network: Any, energy: float, convolutions: str
) -> None:
    _, model = network("lenet5", (1, 16, 16))
    dense = copy.deepcopy(model)
    compression = Factorization(energy=energy, convolutions=convolutions)
    compression.prepare(model)
    assert {"conv2", "fc1"} <= {*compression.layers, *compression.skipped}
    for name, plan in compression.layers.items():
        weight = dense.get_submodule(name).weight.detach()
        four = weight if weight.ndim == 4 else weight[:, :, None, None]
        parts = model.get_submodule(name)
        if weight.ndim == 2:
            parts = nn.Sequential(nn.Flatten(1), parts)
        lost = np.linalg.norm(four.double().numpy() - kernel_of(parts, four)) ** 2
        assert 1 - lost / np.linalg.norm(four) ** 2 >= energy - 1e-6
        if len(plan["ranks"]) == 1:
            (rank,) = plan["ranks"]
            kept = RankOption(name, dense.get_submodule(name), plan["kind"]).kept  # type: ignore[arg-type]
            assert rank == 1 or kept[rank - 2] < energy


@pytest.mark.parametrize("goal", ["params", "macs"])
@pytest.mark.parametrize("convolutions", ["svd", "spatial", "tucker"])
@pytest.mark.parametrize("share", [0.15, 0.4, 0.8])
def test_a_budget_is_met_by_the_rebuilt_network(
    network: Any, goal: str, convolutions: str, share: float
) -> None:
    spec, model = network("lenet5", (1, 16, 16))
    image = randn(1, 1, 16, 16)

    def cost(model: nn.Module) -> int:
        of = measure.compute(model, image) if goal == "macs" else measure.size(model)
        return of[goal]

    before = cost(model)
    settings: dict[str, Any] = {goal: share, "convolutions": convolutions}
    compression = Factorization(**settings)
    compression.prepare(model, calibration((1, 16, 16)))
    after = cost(spec.then(compression.finish()).build())
    assert after <= share * before
    assert after == cost(model)
    assert compression.metrics()["achieved"] == after / before
    # What is left over would not buy what the whole budget is made of: one more rank of a layer.
    assert share * before - after < 0.2 * share * before


def test_a_budget_goes_where_the_singular_values_are() -> None:
    """Two layers alike but that one's weight is near rank 2: that one gives way."""
    torch.manual_seed(0)
    flat, steep = nn.Linear(40, 40), nn.Linear(40, 40)
    left, values, right = np.linalg.svd(steep.weight.detach().numpy())
    values[2:] *= 0.05
    steep.weight.data = torch.from_numpy((left * values) @ right)
    compression = Factorization(params=0.6)
    compression.prepare(nn.Sequential(flat, steep))
    assert list(compression.layers) == ["1"]
    assert compression.skipped == {"0": "whole, it keeps more for what it costs"}


def test_a_ratio_is_of_the_highest_rank_there_can_be() -> None:
    model = nn.Sequential(nn.Conv2d(8, 16, 3), nn.Flatten(), nn.Linear(576, 100))
    for convolutions, ranks in (("svd", [4]), ("spatial", [6]), ("tucker", [4, 2])):
        compression = Factorization(rank_ratio=0.25, convolutions=convolutions)
        compression.prepare(copy.deepcopy(model))
        assert compression.layers["0"] == {"kind": convolutions, "ranks": ranks}
        assert compression.layers["2"] == {"kind": "svd", "ranks": [25]}
        metrics = compression.metrics()
        assert metrics["achieved_ranks/0"] == "×".join(map(str, ranks))


def test_layers_that_cannot_be_products_are_left_and_named() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
            self.grouped = nn.Conv2d(8, 16, 3, groups=2)
            self.transposed = nn.ConvTranspose2d(8, 8, 3)
            self.attention = nn.MultiheadAttention(32, 4)
            self.tied, self.same = nn.Linear(30, 30), nn.Linear(30, 30)
            self.same.weight = self.tied.weight
            self.twice = self.again = nn.Linear(30, 30)
            self.wide, self.rest = nn.Linear(50, 50), nn.Linear(50, 50)

    model = Odd()
    before = copy.deepcopy(model.state_dict())
    compression = Factorization(rank_ratio=0.4, exclude=["re*"])
    compression.prepare(model)
    assert compression.layers == {"wide": {"kind": "svd", "ranks": [20]}}
    assert compression.skipped == {
        "depthwise": "its channels are convolved in groups",
        "grouped": "its channels are convolved in groups",
        "transposed": "a ConvTranspose2d cannot be",
        "attention.out_proj": "a NonDynamicallyQuantizableLinear cannot be",
        **dict.fromkeys(
            ("tied", "same", "twice", "again"), "it shares its weight with another layer"
        ),
    }
    after = model.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before if "wide" not in key)


def test_a_layer_whose_factors_would_be_larger_is_left_and_named() -> None:
    compression = Factorization(rank_ratio=0.45)
    compression.prepare(nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 2), nn.Linear(2, 2)))
    assert compression.layers == {
        "0": {"kind": "svd", "ranks": [29]},
        "1": {"kind": "svd", "ranks": [1]},
    }
    assert compression.skipped == {"2": "rank 1 costs 4, the layer 4"}
    compression = Factorization(rank_ratio=0.9)
    with pytest.raises(
        ConfigError, match="rank_ratio=0.9.*0: rank 58 costs 7,424, the layer 4,096"
    ):
        compression.prepare(nn.Sequential(nn.Linear(64, 64)))


def test_a_quantised_layer_is_left(network: Any) -> None:
    _, model = network("lenet5_tenth")
    PostTraining(8, 8, exclude=["fc1"])(model, randn(8, 1, 8, 8))
    layers, left = factorable(model)
    assert list(layers) == ["fc1"]
    assert left == dict.fromkeys(("conv1", "conv2", "fc2"), "it is quantised")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "factorize=nothing: must be one of energy, rank_ratio, params, macs"),
    ({"energy": 0.9, "params": 0.5}, "factorize={'energy': 0.9, 'params': 0.5}: must be one of"),
    ({"energy": 0.0}, "factorize.energy=0.0: must be > 0 and <= 1"),
    ({"energy": 1.1}, "factorize.energy=1.1: "),
    ({"energy": float("nan")}, "factorize.energy=nan: "),
    ({"rank_ratio": -1}, "factorize.rank_ratio=-1: "),
    ({"params": 1.0}, "factorize.params=1.0: must be > 0 and < 1"),
    ({"macs": 0}, "factorize.macs=0: "),
    ({"energy": 0.9, "images": -1}, "factorize.images=-1: "),
    ({"energy": 0.9, "convolutions": "tuker"}, "factorize.convolutions=tuker: .*did you mean tuc"),
]


@pytest.mark.parametrize(("settings", "words"), REFUSED, ids=lambda v: str(v)[:40])
def test_what_is_refused_at_once(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Factorization(**settings)


def test_what_the_network_does_not_allow_is_refused_before_it_is_touched(network: Any) -> None:
    _, model = network("lenet5_tenth")
    before = copy.deepcopy(model)
    for settings, data, words in (
        ({"energy": 0.9, "exclude": ["*"]}, None, r"factorize.exclude=\['\*'\]: "),
        ({"energy": 1.0}, None, "factorize.energy=1.0: must be a value at which .*fc1: rank"),
        ({"macs": 0.5}, None, "factorize.macs=0.5: must be what needs no image"),
        ({"energy": 0.9, "images": 9}, None, "factorize.images=9: "),
        (
            {"params": 0.01},
            None,
            r"factorize.params=0.01: must be 0\.\d+ to less than 1; rank 1",
        ),
        ({"macs": 0.01}, calibration(), r"factorize.macs=0.01: must be 0\.\d+ to less than 1"),
    ):
        with pytest.raises(ConfigError, match=words):
            Factorization(**settings).prepare(model, data)  # type: ignore[arg-type]
        assert str(model) == str(before)
        after = model.state_dict()
        assert all(torch.equal(t, after[name]) for name, t in before.state_dict().items())


@pytest.mark.parametrize("goal", ["params", "macs"])
def test_the_least_that_is_named_can_be_had(network: Any, goal: str) -> None:
    _, model = network("resnet8")
    with pytest.raises(ConfigError) as refused:
        Factorization(**{goal: 1e-3}).prepare(model, calibration())  # type: ignore[arg-type]
    least = float(str(refused.value).split("must be ")[1].split(" to")[0])
    with pytest.raises(ConfigError):
        Factorization(**{goal: least - 2e-4}).prepare(model, calibration())  # type: ignore[arg-type]
    compression = Factorization(**{goal: least})  # type: ignore[arg-type]
    compression.prepare(model, calibration())
    assert {max(plan["ranks"]) for plan in compression.layers.values()} == {1}


# --- in a chain


def test_a_factorised_network_is_stored_bit_for_bit(tmp_path: Path, network: Any) -> None:
    """Pruned, factorised, pruned again, quantised: what the first named is gone by then."""
    spec, model = network("resnet8")
    layers = ["layer1.0.conv1", "layer3.0.conv2", "fc"]
    with torch.no_grad():
        for name in layers:
            model.get_parameter(f"{name}.weight")[::2] = 0
    done: list[Any] = [Sparse(layers)]
    compression = Factorization(params=0.6, convolutions="tucker", exclude=["fc", "layer1*"])
    compression.prepare(model)
    assert "layer3.0.conv2" in compression.layers
    done += compression.finish()
    with torch.no_grad():
        model.get_parameter("layer3.0.conv2.core.weight")[::2] = 0
    done.append(Sparse(["layer3.0.conv2.core"]))
    held = spec.then(done).constraints(model)
    for parameter in model.parameters():
        parameter.data.add_(0.5)
    for project in held:
        project()
    for name in ("layer3.0.conv2.core", "layer1.0.conv1", "fc"):
        assert not model.get_parameter(f"{name}.weight")[::2].any()
    done += PostTraining(8, 8)(model, randn(32, 1, 8, 8))
    assert ["layer3.0.conv2.expand", "layer3.0.bn2"] in [list(pair) for pair in done[-2].pairs]
    save(tmp_path, spec.then(done), model)
    whole, back = load(tmp_path)
    image = randn(4, 1, 8, 8, seed=3)
    assert torch.equal(back(image), model.eval()(image))
    assert [type(o) for o in whole.operations[1:2]] == [Factorized]
    again = tmp_path / "again"
    again.mkdir()
    save(again, whole, back)
    files = [folder / "weights.safetensors" for folder in (tmp_path, again)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_deployed_files_answer_alike(tmp_path: Path, network: Any) -> None:
    _, model = network("lenet5")
    compression = Factorization(rank_ratio=0.4, convolutions="tucker")
    compression.prepare(model)
    assert {"conv2", "fc1"} <= set(compression.layers)
    images = randn(64, 1, 8, 8, seed=4)
    operation = PostTraining(8, 8)(model, images)[-1]
    assert isinstance(operation, Quantized) and "conv2.core" in operation.layers
    floats, codes = tmp_path / "float.onnx", tmp_path / "codes.onnx"
    deploy.to_onnx(model, images[:2], floats)
    deploy.to_quantized_onnx(model, operation, images, codes)
    plain = deploy.graph.without_input_quantizers(model)
    torch.testing.assert_close(deploy.session(floats)(images), plain(images), rtol=1e-4, atol=1e-4)
    simulated = model(images)
    off = (deploy.session(codes)(images) - simulated).abs().mean()
    assert off < 0.05 * simulated.abs().mean()


def test_the_same_network_is_factorised_the_same(network: Any) -> None:
    """A resumed run prepares again; nothing is left hooked."""
    made = []
    for _ in range(2):
        _, model = network("resnet8")
        compression = Factorization(macs=0.5, convolutions="svd", images=16)
        compression.prepare(model, calibration())
        made.append((compression.layers, model.state_dict()))
        assert not any(m._forward_hooks for m in model.modules())
        assert compression.ready and compression.state() == {}
    assert made[0][0] == made[1][0]
    assert all(torch.equal(t, made[1][1][name]) for name, t in made[0][1].items())
    assert compression.finish() == [Factorized(made[0][0])]
    assert json.loads(json.dumps(compression.finish()[0].to_json()))["layers"] == made[0][0]
