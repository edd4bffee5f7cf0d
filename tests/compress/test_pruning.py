"""Criteria score as their formulas say; what a granularity and a rate claim is in the weights."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from places import CONF, GOLDENS
from running import config_of
from torch import Tensor, nn

from condenser.compress import (
    CalibrationData,
    PerLayerRates,
    Sparse,
    SparseTraining,
    WeightPruning,
    prunable,
)
from condenser.compress.masks import penalties as penalty
from condenser.compress.masks.granularity import Filter, Kernel, Neuron, NofM
from condenser.compress.scores import (
    L2,
    LAMP,
    Activation,
    BatchNormScale,
    Criterion,
    Hessian,
    Magnitude,
    Movement,
    Random,
    Taylor,
)
from condenser.config.instantiate import build
from condenser.errors import ConfigError
from condenser.functional.proximal import group_soft_threshold, soft_threshold
from condenser.functional.pruning import (
    erdos_renyi,
    global_threshold,
    keep_erdos_renyi,
    keep_largest,
    keep_per_output,
    layerwise_threshold,
    protect_largest,
    swap,
)
from condenser.functional.schedules import constant, one_shot, ramp

GOLDEN = json.loads((GOLDENS / "pruning.json").read_text())
CONFS = sorted(path.stem for path in (CONF / "prune").glob("*.yaml"))
DATA = (Taylor, Hessian, Movement, Activation)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def wave(shape: list[int], a: float, b: float, scale: float) -> Tensor:
    k = torch.arange(1, int(np.prod(shape)) + 1, dtype=torch.float64)
    return (scale * torch.sin(a * k**1.5 + b)).view(shape)


def convolutional() -> nn.Sequential:
    """Float64, with a batch norm after its first convolution alone; groups in its second."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(4, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, groups=2),
        nn.Flatten(),
        nn.Linear(12 * 16, 20),
        nn.ReLU(),
        nn.Linear(20, 8),
    )
    nn.init.uniform_(net.get_parameter("1.weight"), -2.0, 1.0)
    return net.double().eval()


LAYERS = ["0", "3", "5", "7"]


def softmax_regression() -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(5, 3, bias=False)).double()
    net.get_parameter("1.weight").data.copy_(randn(3, 5, seed=3))
    return net


def probe_of(images: Tensor, targets: Tensor, model: nn.Module | None = None) -> CalibrationData:
    origin = {} if model is None else copy.deepcopy(model.state_dict())
    return CalibrationData(lambda n: [(images[:n], targets[:n])], F.cross_entropy, lambda: origin)


def image_probe(model: nn.Module | None = None) -> CalibrationData:
    return probe_of(randn(24, 4, 8, 8, seed=1), torch.arange(24) % 8, model)


def gradient(w: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of the mean cross-entropy of softmax regression, written down by hand."""
    logits = x @ w.T
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return (p - np.eye(w.shape[0])[y]).T @ x / len(x)


X, Y = randn(12, 5, seed=7), torch.tensor([0, 1, 2] * 4)


def prepared(criterion: Any, model: nn.Module, calibration: CalibrationData | None = None) -> Any:
    weights = prunable(model)
    criterion.prepare(model, weights, calibration)
    return criterion


def scores(criterion: Any, model: nn.Module) -> dict[str, np.ndarray]:
    return {n: criterion(n, w).double().numpy() for n, w in prunable(model).items()}


def train(model: nn.Module, pruning: Any, steps: range, total: int, lr: float = 0.05) -> None:
    """Momentum-free steps, so that the weights are all there is to go on from."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for step in steps:
        image, target = randn(16, 4, 8, 8, seed=step), torch.arange(16) % 8
        optimizer.zero_grad()
        F.cross_entropy(model(image), target).backward()
        optimizer.step()
        pruning.step((step + 1) / total)


def zeros(model: nn.Module, layers: list[str] | None = None) -> tuple[int, int]:
    """Zero weights and weights of these layers."""
    found = [w for n, w in prunable(model).items() if layers is None or n in layers]
    return sum(int((w == 0).sum()) for w in found), sum(w.numel() for w in found)


# --- criteria


def test_random_scores_are_a_function_of_seed_name_and_shape() -> None:
    weight = nn.Parameter(randn(40, 50))
    first = Random(1)("fc", weight)
    assert torch.equal(first, Random(1)("fc", nn.Parameter(-7 * weight.detach())))
    assert first.shape == weight.shape
    for other in (Random(2)("fc", weight), Random(1)("fc2", weight)):
        assert abs(np.corrcoef(first.flatten(), other.flatten())[0, 1]) < 0.1
    assert abs(first.mean()) < 0.1
    assert abs(first.std() - 1) < 0.1
    state = torch.get_rng_state()
    Random(1)("fc", weight)
    assert torch.equal(torch.get_rng_state(), state)


def test_l1_and_l2_rank_groups_as_their_norms_and_not_alike() -> None:
    weight = nn.Parameter(torch.tensor([[3.0, 0.0, 0.0], [1.2, 1.2, 1.2], [-2.0, 0.5, 0.9]]))
    alive, layer = torch.ones(3, 3, dtype=torch.bool), nn.Linear(3, 3)
    one, two = (Neuron().groups(layer, c("", weight), alive) for c in (Magnitude(), L2()))
    assert one.shape == two.shape == (3, 1)
    rows = weight.detach().numpy()
    np.testing.assert_allclose(one[:, 0], np.linalg.norm(rows, 1, axis=1), rtol=1e-6)
    np.testing.assert_allclose(two[:, 0] ** 0.5, np.linalg.norm(rows, 2, axis=1), rtol=1e-6)
    assert one[:, 0].argsort().tolist() == [0, 2, 1]
    assert two[:, 0].argsort().tolist() == [1, 2, 0]


def golden_layers() -> dict[str, nn.Parameter]:
    return {n: nn.Parameter(wave(*spec)) for n, spec in GOLDEN["layers"].items()}


def test_lamp_scores_are_the_authors() -> None:
    for name, weight in golden_layers().items():
        found = LAMP()(name, weight)
        for index, score in GOLDEN["lamp_scores"][name]:
            assert found.flatten()[index].item() == pytest.approx(score, rel=1e-3)
        assert found.max().item() == 1.0


@pytest.mark.parametrize("case", GOLDEN["lamp"], ids=lambda c: str(c["rate"]))
def test_lamp_keeps_as_many_weights_of_each_layer_as_the_authors(case: Any) -> None:
    made = global_threshold({n: LAMP()(n, w) for n, w in golden_layers().items()}, case["rate"])
    assert [int(mask.sum()) for mask in made.values()] == case["kept"]


def test_lamp_of_a_layer_of_zeros_is_zero() -> None:
    assert LAMP()("", nn.Parameter(torch.zeros(2, 3))).tolist() == [[0.0] * 3] * 2


def test_taylor_is_the_mean_over_batches_of_gradient_times_weight() -> None:
    model = softmax_regression()
    found = scores(prepared(Taylor(10, 5), model, probe_of(X, Y)), model)["1"]
    w, x, y = model.get_parameter("1.weight").detach().numpy(), X.numpy(), Y.numpy()
    batches = [np.abs(gradient(w, x[i : i + 5], y[i : i + 5])) for i in (0, 5)]
    np.testing.assert_allclose(found, np.abs(w) * np.mean(batches, 0), rtol=1e-10)


def test_hessian_is_half_the_square_times_the_mean_squared_gradient_of_samples() -> None:
    model = softmax_regression()
    found = scores(prepared(Hessian(7), model, probe_of(X, Y)), model)["1"]
    w, x, y = model.get_parameter("1.weight").detach().numpy(), X.numpy(), Y.numpy()
    fisher = np.mean([gradient(w, x[i : i + 1], y[i : i + 1]) ** 2 for i in range(7)], 0)
    np.testing.assert_allclose(found, w**2 * fisher / 2, rtol=1e-10)


@pytest.mark.parametrize(("kind", "power"), [(Taylor, 1), (Hessian, 2)])
def test_gradient_means_forget_the_probe_and_then_exponentially(kind: Any, power: int) -> None:
    model = softmax_regression()
    criterion = prepared(kind(decay=0.7), model, probe_of(X, Y))
    weight, steps = model.get_parameter("1.weight"), [randn(3, 5, seed=20 + i) for i in range(4)]
    for number in range(1, 5):
        weight.grad = steps[number - 1]
        criterion.update()
        share = 0.7 ** np.arange(number)[::-1]
        past = np.stack([np.abs(g.numpy()) ** power for g in steps[:number]])
        mean = np.tensordot(share / share.sum(), past, 1)
        size = np.abs(weight.detach().numpy()) ** power / power
        np.testing.assert_allclose(criterion("1", weight).numpy(), size * mean, rtol=1e-10)


def test_movement_accumulates_what_hand_arithmetic_says() -> None:
    model = softmax_regression()
    criterion = prepared(Movement(12, 12), model, probe_of(X, Y))
    weight, w = model.get_parameter("1.weight"), model.get_parameter("1.weight").detach().numpy()
    w, x, y = w.copy(), X.numpy(), Y.numpy()
    np.testing.assert_allclose(scores(criterion, model)["1"], -gradient(w, x, y) * w, rtol=1e-9)
    optimizer, total = torch.optim.SGD(model.parameters(), lr=0.5), np.zeros_like(w)
    for i in range(3):
        part = slice(4 * i, 4 * i + 4)
        optimizer.zero_grad()
        F.cross_entropy(model(X[part]), Y[part]).backward()
        optimizer.step()
        criterion.update()
        g = gradient(w, x[part], y[part])
        total -= g * w
        w -= 0.5 * g
        np.testing.assert_allclose(weight.detach().numpy(), w, rtol=1e-9)
        np.testing.assert_allclose(scores(criterion, model)["1"], total, rtol=1e-9)


def test_a_filters_slimming_score_is_its_batch_norms_scale() -> None:
    model = convolutional()
    criterion = BatchNormScale()
    assert criterion.select(model, LAYERS) == ["0"]
    weight, alive = model.get_parameter("0.weight"), torch.ones(8, 4, 3, 3, dtype=torch.bool)
    found = Filter().groups(model[0], criterion("0", weight), alive).flatten()
    torch.testing.assert_close(found, model.get_parameter("1.weight").detach().abs())


def test_slimming_leaves_layers_without_batch_norm_alone() -> None:
    model = convolutional()
    before = copy.deepcopy(model.state_dict())
    pruning = WeightPruning(0.5, BatchNormScale(), Filter(), until=0.0)
    pruning.prepare(model)
    for name in ("3", "5", "7"):
        assert torch.equal(model.get_parameter(f"{name}.weight"), before[f"{name}.weight"])
    low = before["1.weight"].abs().argsort()[:4]
    assert model.get_parameter("0.weight")[low].eq(0).all()
    assert zeros(model, ["0"]) == (8 * 36 // 2, 8 * 36)
    assert pruning.finish() == [Sparse(["0"])]
    with pytest.raises(ConfigError, match="prune.criterion=BatchNormScale: .* no batch norm"):
        WeightPruning(0.5, BatchNormScale()).prepare(nn.Sequential(nn.Conv2d(1, 2, 3)))


def test_activation_is_the_weights_size_times_its_inputs_norm() -> None:
    model, images = convolutional(), randn(10, 4, 8, 8, seed=5)
    calibration = probe_of(images, torch.zeros(10, dtype=torch.long))
    found = scores(prepared(Activation(9, 4), model, calibration), model)
    x = images[:9].numpy()
    first = np.abs(model.get_parameter("0.weight").detach().numpy())
    norm = np.sqrt((x**2).sum((0, 2, 3)))
    np.testing.assert_allclose(found["0"], first * norm[None, :, None, None], rtol=1e-9)
    x = model[:5](images[:9]).detach().numpy()
    norm = np.sqrt((x**2).sum(0))
    fifth = np.abs(model.get_parameter("5.weight").detach().numpy())
    np.testing.assert_allclose(found["5"], fifth * norm, rtol=1e-9)


@pytest.mark.parametrize(
    ("layer", "image"),
    [
        (nn.Linear(6, 5), randn(3, 7, 6)),
        (nn.Conv2d(6, 4, 2), randn(2, 6, 3, 3)),
        (nn.Conv2d(6, 9, 2, groups=3), randn(2, 6, 3, 3)),
        (nn.Conv2d(6, 6, 2, groups=6), randn(2, 6, 3, 3)),
        (nn.Conv1d(6, 4, 3), randn(2, 6, 5)),
        (nn.ConvTranspose2d(6, 4, 2), randn(2, 6, 3, 3)),
        (nn.ConvTranspose2d(6, 4, 2, groups=2), randn(2, 6, 3, 3)),
    ],
    ids=str,
)
def test_activation_sees_the_input_that_a_weight_multiplies(layer: Any, image: Tensor) -> None:
    """Where one channel alone carries something, those weights count whose gradient is not 0."""
    model = nn.Sequential(layer).double()
    for channel in range(6):
        only = torch.zeros(6, dtype=torch.float64)
        only[channel] = 1
        x = image * (
            only if isinstance(layer, nn.Linear) else only.view(-1, *[1] * (image.ndim - 2))
        )
        found = prepared(Activation(), model, probe_of(x, torch.zeros(len(x))))("0", layer.weight)
        (slope,) = torch.autograd.grad(model(x).square().sum(), layer.weight)
        assert torch.equal(found != 0, slope != 0)


@pytest.mark.parametrize("case", GOLDEN["wanda"], ids=lambda c: str(c["rate"]))
def test_activation_per_output_keeps_what_wandas_authors_keep(case: Any) -> None:
    model = nn.Sequential(nn.Linear(32, 10, bias=False)).double()
    model.get_parameter("0.weight").data.copy_(wave(*GOLDEN["layers"]["fc"]))
    tokens = wave(*GOLDEN["tokens"])
    pruning = WeightPruning(case["rate"], Activation(), scope=keep_per_output, until=0.0)
    pruning.prepare(model, probe_of(tokens, torch.zeros(len(tokens))))
    kept = [row.nonzero().flatten().tolist() for row in model.get_parameter("0.weight")]
    assert kept == case["kept"]


@pytest.mark.parametrize("kind", DATA)
def test_the_probe_leaves_the_network_as_it_was(kind: Callable[[], Criterion]) -> None:
    model = convolutional().train()
    model[4].eval()
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    prepared(kind(), model, image_probe())
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("kind", DATA)
def test_a_criterion_that_needs_data_says_so_before_training(kind: Any) -> None:
    with pytest.raises(ConfigError, match=f"prune.criterion={kind.__name__}: .* Magnitude"):
        WeightPruning(0.5, kind()).prepare(convolutional())


@pytest.mark.parametrize("kind", DATA)
def test_a_layer_that_takes_no_part_is_named_and_not_taken_for_useless(kind: Any) -> None:
    model = convolutional()
    model.add_module("spare", nn.Linear(3, 3).double())
    model.forward = lambda x: nn.Sequential.forward(model[:8], x)  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="prune.exclude=.*spare.*: must be patterns of all"):
        prepared(kind(), model, image_probe())
    pruning = WeightPruning(0.5, kind(), exclude=["spare"])
    pruning.prepare(model, image_probe())
    assert list(pruning.weights) == LAYERS


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Random(0.5),  # type: ignore[arg-type]
            "criterion.seed=0.5: ",
        ),
        (lambda: Taylor(images=0), "criterion.images=0: must be a whole number"),
        (
            lambda: Taylor(batch=1.5),  # type: ignore[arg-type]
            "criterion.batch=1.5: ",
        ),
        (lambda: Hessian(decay=1.0), "criterion.decay=1.0: "),
        (lambda: NofM(4, 4), "n,m}=4:4: must be two whole numbers, 0 < n < m"),
        (lambda: NofM(0, 4), "n,m}=0:4: "),
        (lambda: PerLayerRates({}), "prune.scope.rates={}: "),
        (lambda: PerLayerRates({"a": 1.0}), "prune.scope.rates.a=1.0: "),
        (lambda: SparseTraining(-1.0, penalty.L1()), "sparse.strength=-1.0: "),
        (lambda: WeightPruning(None, Magnitude()), "prune.rate=null: must be a number"),
        (lambda: WeightPruning(0.4, Magnitude(), NofM()), "prune.rate=0.4: must be null or 0.5"),
        (
            lambda: WeightPruning(0.4, Magnitude(), scope=PerLayerRates({"*": 0.5})),
            "prune.rate=0.4: .*null",
        ),
        (
            lambda: WeightPruning(None, L2(), NofM(), PerLayerRates({"*": 0.1})),
            "prune.rate=0.5: .* n:m",
        ),
        (lambda: WeightPruning(0.4, Magnitude(), rewind=True), "prune.until=0.5: must be 0"),
        (lambda: WeightPruning(0.4, Magnitude(), regrow=1.0), "prune.regrow=1.0: "),
        (lambda: WeightPruning(0.4, L2(), until=0.0, regrow=0.1), "prune.regrow=0.1: must be 0"),
        (lambda: WeightPruning(0.4, L2(), Kernel(), regrow=0.1), "prune.regrow=0.1: must be 0"),
    ],
)
def test_what_is_refused_before_a_model_is_there(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()


# --- granularities


def groups_of(granularity: Any, model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Layers it works on, as (groups, weights of one)."""
    for name, weight in prunable(model).items():
        if isinstance(granularity, Kernel):
            yield name, weight.detach().reshape(weight.shape[0] * weight.shape[1], -1)
        elif isinstance(granularity, Filter) == (weight.ndim == 4) and name != "7":
            yield name, weight.detach().flatten(1)


@pytest.mark.parametrize(
    ("scope", "rate"),
    [
        (scope, rate)
        for scope in (global_threshold, layerwise_threshold)
        for rate in (0.0, 0.1, 1 / 3, 0.5)
    ]
    + [(layerwise_threshold, 0.77), (layerwise_threshold, 0.9)],
)
@pytest.mark.parametrize(
    "granularity", [Kernel(), Filter(), Neuron()], ids=lambda g: type(g).__name__
)
def test_groups_fall_whole_and_meet_the_rate(granularity: Any, scope: Any, rate: float) -> None:
    model = convolutional()
    before = copy.deepcopy(model)
    pruning = WeightPruning(rate, Random(3), granularity, scope, until=0.5, updates=5)
    pruning.prepare(model)
    for progress in (0.2, 0.4, 0.6, 1.0):
        pruning.step(progress)
    sizes = {}
    for name, weights in groups_of(granularity, model):
        alive = (weights != 0).sum(1)
        assert set(alive.tolist()) <= {0, weights.shape[1]}
        sizes[name] = weights.shape
        if scope is layerwise_threshold:
            assert int((alive == 0).sum()) == round(rate * len(weights))
    assert set(sizes) == set(pruning.weights)
    gone, total = zeros(model, list(sizes))
    slack = (
        max(size[1] if scope is global_threshold else size.numel() for size in sizes.values()) / 2
    )
    assert abs(gone - rate * total) <= (slack if scope is global_threshold else slack * len(sizes))
    for name in set(LAYERS) - set(sizes):
        path = f"{name}.weight"
        assert torch.equal(model.get_parameter(path), before.get_parameter(path))


def test_the_lowest_groups_go_and_half_dead_ones_by_what_is_left_of_them() -> None:
    model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False))
    rows = [[1.0, 1.0, 1.0], [0.0, 0.0, 2.9], [0.0, 0.0, 0.0], [5.0, 0.0, 0.0]]
    model.get_parameter("0.weight").data.copy_(torch.tensor(rows))
    WeightPruning(0.5, Magnitude(), Neuron(), until=0.0).prepare(model)
    alive = (model.get_parameter("0.weight") != 0).any(1).tolist()
    assert alive == [True, False, False, True]
    upside_down = WeightPruning(
        0.5, lambda _, w: -w.abs(), Neuron(), layerwise_threshold, until=0.0
    )
    upside_down.prepare(model)  # by these scores the dead row would be the best to keep
    assert not model.get_parameter("0.weight")[2].any()


def test_a_group_counts_what_lives_of_it() -> None:
    """Whatever a criterion says of weights that are gone."""
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    rows = [[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]]
    model.get_parameter("0.weight").data.copy_(torch.tensor(rows))
    WeightPruning(1 / 3, lambda _, w: torch.ones_like(w), Neuron(), until=0.0).prepare(model)
    assert (model.get_parameter("0.weight") != 0).any(1).tolist() == [False, True, True]


def test_a_last_layer_that_is_a_convolution_keeps_its_outputs() -> None:
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 10, 1))
    pruning = WeightPruning(0.5, Magnitude(), Filter(), until=0.0)
    pruning.prepare(model)
    assert list(pruning.weights) == ["0"]


@pytest.mark.parametrize("seed", range(20))
def test_groups_of_several_sizes_come_nearest_to_the_rate(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ranked = torch.from_numpy(rng.permutation(9).astype(float))
    sizes = torch.from_numpy(rng.integers(1, 20, 9).astype(float))
    rate = float(rng.uniform())
    mask = keep_largest(ranked, rate, sizes)
    dropped = float(sizes[~mask].sum())
    order = np.argsort(ranked.numpy())
    possible = np.concatenate([[0], np.cumsum(sizes.numpy()[order])])
    assert abs(dropped - rate * possible[-1]) == pytest.approx(
        np.abs(possible - rate * possible[-1]).min()
    )
    assert not mask[order[: int((~mask).sum())]].any()


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (1, 2), (3, 4), (4, 8)])
@pytest.mark.parametrize("scope", [global_threshold, layerwise_threshold])
@pytest.mark.parametrize("steps", [1, 12])
def test_n_of_every_m_inputs_are_not_zero(n: int, m: int, scope: Any, steps: int) -> None:
    model = nn.Sequential(
        nn.Conv2d(16, 6, 3), nn.ConvTranspose2d(8, 4, 3, groups=1), nn.Conv2d(32, 8, 2, groups=2)
    )
    model.append(nn.Linear(24, 5))
    weights = {name: w.detach().clone() for name, w in prunable(model).items()}
    pruning = WeightPruning(None, Magnitude(), NofM(n, m), scope, ramp, 0.9, updates=5)
    pruning.prepare(model)
    for step in range(1, steps + 1):
        for w in prunable(model).values():
            w.data.add_(0.05 * randn(*w.shape, seed=step).float())
        pruning.step(step / steps)
    for name, weight in prunable(model).items():
        inward = weight.detach().movedim(0 if name == "1" else 1, -1).reshape(-1, m)
        assert ((inward != 0).sum(1) == n).all(), name
        if steps == 1 and name != "1":
            moved = (weights[name] + 0.05 * randn(*weight.shape, seed=1).float()).movedim(1, -1)
            best = moved.reshape(-1, m).abs().topk(n, dim=1).indices
            assert (inward.gather(1, best) != 0).all()


def test_n_of_m_where_there_are_zeros_already() -> None:
    model = nn.Sequential(nn.Linear(64, 32))
    WeightPruning(0.7, Random(), until=0.0).prepare(model)
    before = model.get_parameter("0.weight").detach().clone()
    pruning = WeightPruning(0.5, Magnitude(), NofM(2, 4))
    pruning.prepare(model)
    pruning.step(1.0)
    was, now = before.view(-1, 4), model.get_parameter("0.weight").detach().view(-1, 4)
    assert torch.equal((now != 0).sum(1), (was != 0).sum(1).clamp(max=2))


def test_n_of_m_names_the_layers_that_it_does_not_divide() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1))
    pruning = WeightPruning(None, Magnitude(), NofM(), until=0.0)
    words = r"prune.granularity=2:4: .* 0 has 3, 1 has 1; .*prune.exclude=\[0,1\]"
    with pytest.raises(ConfigError, match=words):
        pruning.prepare(model)
    WeightPruning(None, Magnitude(), NofM(), until=0.0, exclude=["0", "1"]).prepare(model)
    assert zeros(model) == (16, 3 * 72 + 72 + 32)


def test_protecting_is_by_blocks_of_neighbours() -> None:
    made = protect_largest(torch.tensor([[4.0, 1.0, 3.0, 9.0], [0.0, 5.0, 7.0, 6.0]]), 1, 2)
    inf = torch.inf
    assert made.tolist() == [[inf, 1.0, 3.0, inf], [0.0, inf, inf, 6.0]]


def test_what_has_no_such_groups_is_refused() -> None:
    mlp = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    with pytest.raises(ConfigError, match="prune.granularity=Filter: .* convolutions"):
        WeightPruning(0.5, Magnitude(), Filter()).prepare(mlp)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(4, 2))
    with pytest.raises(ConfigError, match="prune.granularity=Neuron: .* linear layers before its"):
        WeightPruning(0.5, Magnitude(), Neuron()).prepare(net)


# --- scopes


@pytest.mark.parametrize("case", GOLDEN["erk"], ids=lambda c: str(c["rate"]))
def test_erdos_renyi_densities_are_those_of_others_code(case: Any) -> None:
    layers = {name: w.detach().abs() for name, w in golden_layers().items()}
    found = [int(mask.sum()) for mask in keep_erdos_renyi(layers, case["rate"]).values()]
    np.testing.assert_allclose(found, case["kept"], atol=1)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5, 0.9, 0.99])
def test_erdos_renyi_meets_the_rate_with_no_layer_overfull(rate: float) -> None:
    shapes = {
        "a": torch.Size([64, 3, 3, 3]),
        "b": torch.Size([512, 256]),
        "c": torch.Size([10, 64]),
    }
    densities = erdos_renyi(shapes, rate)
    kept = sum(densities[n] * s.numel() for n, s in shapes.items())
    assert kept == pytest.approx((1 - rate) * sum(s.numel() for s in shapes.values()))
    assert max(densities.values()) <= 1
    free = {n: densities[n] * s.numel() / sum(s) for n, s in shapes.items() if densities[n] < 1}
    assert not free or max(free.values()) == pytest.approx(min(free.values()))


def test_erdos_renyi_of_groups_goes_by_the_weights_shape() -> None:
    scored = {"a": randn(40, 1, 1, 1), "b": randn(40, 1)}
    shapes = {"a": torch.Size([40, 64, 3, 3]), "b": torch.Size([40, 10])}
    kept = {n: int(mask.sum()) for n, mask in keep_erdos_renyi(scored, 0.5, shapes).items()}
    assert kept == {n: round(40 * d) for n, d in erdos_renyi(shapes, 0.5).items()}


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5, 0.8])
def test_each_output_loses_the_same(rate: float) -> None:
    scored = {"a": randn(6, 10), "b": randn(4, 5, 2, 2)}
    for name, mask in keep_per_output(scored, rate).items():
        rows, kept = scored[name].flatten(1), mask.flatten(1)
        assert (~kept).sum(1).tolist() == [round(rate * rows.shape[1])] * len(rows)
        for row, stays in zip(rows, kept, strict=True):
            assert rate == 0 or row[~stays].max() <= row[stays].min()


def test_layers_lose_what_is_given_and_the_last_pattern_counts() -> None:
    model = convolutional()
    scope = PerLayerRates({"*": 0.5, "[05]": 0.25, "7": 0.0})
    pruning = WeightPruning(None, Magnitude(), scope=scope, until=0.5, updates=4, schedule=ramp)
    pruning.prepare(model)
    for progress, share in ((0.25, 0.5), (0.5, 1.0)):
        pruning.step(progress)
        for name, rate in {"0": 0.25, "3": 0.5, "5": 0.25, "7": 0.0}.items():
            gone, total = zeros(model, [name])
            assert gone == round(share * rate * total)
    assert pruning.ready


def test_layers_without_a_given_rate_keep_all_and_earlier_zeros_stay() -> None:
    model = convolutional()
    WeightPruning(0.6, Magnitude(), scope=layerwise_threshold, until=0.0).prepare(model)
    before = {name: w == 0 for name, w in prunable(model).items()}
    pruning = WeightPruning(None, Magnitude(), scope=PerLayerRates({"3": 0.9, "5": 0.1}), until=0.0)
    pruning.prepare(model)
    train(model, pruning, range(2), 2)
    for name, w in prunable(model).items():
        assert (w[before[name]] == 0).all()
        assert int((w == 0).sum()) == round((0.9 if name == "3" else 0.6) * w.numel())


def test_given_rates_that_fit_no_layer_or_empty_one_are_refused() -> None:
    pruning = WeightPruning(None, Magnitude(), scope=PerLayerRates({"conv1": 0.5}))
    with pytest.raises(ConfigError, match="prune.scope.rates=conv1: .* there are 0, 3, 5, 7"):
        pruning.prepare(convolutional())
    pruning = WeightPruning(None, Magnitude(), scope=PerLayerRates({"7": 0.9999}))
    with pytest.raises(ConfigError, match=r"leaves weights in every layer \(7 would be empty\)"):
        pruning.prepare(convolutional())


def test_a_gradual_rate_that_would_empty_a_layer_fails_before_training() -> None:
    model = convolutional()
    model.get_parameter("7.weight").data.mul_(1e-6)
    with pytest.raises(ConfigError, match=r"7 would be empty"):
        WeightPruning(0.5, Magnitude(), until=0.9).prepare(model)


# --- lottery tickets


def trained_and_its_origin() -> tuple[nn.Module, CalibrationData]:
    model = convolutional().train()
    calibration = image_probe(model)
    train(model, SparseTraining(0.0, penalty.L1()), range(0), 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(randn(8, 4, 8, 8)), torch.arange(8)).backward()
        optimizer.step()
    return model, calibration


def test_survivors_start_again_from_the_first_weights_bit_for_bit() -> None:
    model, calibration = trained_and_its_origin()
    trained, origin = copy.deepcopy(model.state_dict()), calibration.origin()
    pruning = WeightPruning(
        0.4, Magnitude(), scope=layerwise_threshold, schedule=one_shot, until=0.0, rewind=True
    )
    pruning.prepare(model, calibration)
    pruning.step(0.5)
    for name, now in model.state_dict().items():
        if name.removesuffix(".weight") in LAYERS:
            size = trained[name].abs()
            kept = size.flatten().argsort().argsort().view(size.shape) >= round(0.4 * size.numel())
            assert torch.equal(now, origin[name] * kept), name
            assert not torch.equal(origin[name], trained[name])
        else:
            assert torch.equal(now, origin[name]), name
    # The next round, from the ticket as trained: what is gone stays gone.
    first = {name: w == 0 for name, w in prunable(model).items()}
    train(model, pruning, range(3), 3)
    second = WeightPruning(0.64, Magnitude(), scope=layerwise_threshold, until=0.0, rewind=True)
    second.prepare(model, calibration)
    for name, w in prunable(model).items():
        assert (w[first[name]] == 0).all()
        assert int((w == 0).sum()) == round(0.64 * w.numel())
        assert torch.equal(w[w != 0], origin[f"{name}.weight"][w != 0])


def test_rewinding_needs_the_structure_of_the_start() -> None:
    model, calibration = trained_and_its_origin()
    smaller = copy.deepcopy(model)
    smaller.set_submodule("7", nn.Linear(20, 7).double())
    pruning = WeightPruning(0.4, Magnitude(), until=0.0, rewind=True)
    with pytest.raises(ConfigError, match=r"prune.rewind=true: .* \(7.weight\)"):
        pruning.prepare(smaller, calibration)
    with pytest.raises(ConfigError, match="prune.rewind=true: .* not known"):
        pruning.prepare(model)


# --- regrowth


def test_swapping_is_by_size_and_by_gradient() -> None:
    mask = torch.tensor([True, True, True, False, False, False])
    size = torch.tensor([0.5, 0.1, 0.2, 0.0, 0.0, 0.0])
    growth = torch.tensor([9.0, 1.0, 5.0, 2.0, 8.0, -torch.inf])
    assert swap(mask, size, growth, 0).tolist() == mask.tolist()
    # 1 goes, 4 comes; then 2 goes too, and comes back, since its gradient is above that of 3.
    assert swap(mask, size, growth, 1).tolist() == [True, False, True, False, True, False]
    assert swap(mask, size, growth, 2).tolist() == [True, False, True, False, True, False]
    assert swap(mask, size, growth, 3).tolist() == [True, False, True, False, True, False]


def test_regrowth_moves_zeros_at_a_constant_rate_until_it_ends() -> None:
    model = convolutional()
    pruning = WeightPruning(
        0.6,
        Magnitude(),
        scope=layerwise_threshold,
        schedule=one_shot,
        until=0.5,
        updates=4,
        regrow=0.5,
    )
    pruning.prepare(model)
    expected = {name: round(0.6 * w.numel()) for name, w in prunable(model).items()}
    train(model, pruning, range(1), 40)
    moved, last = 0, dict(zip(expected, pruning.masks.kept(), strict=True))
    for step in range(1, 40):
        before = {n: w.detach().clone() for n, w in prunable(model).items()}
        train(model, pruning, range(step, step + 1), 40)
        progress = (step + 1) / 40
        number = progress / 0.5 * 4
        share = 0.5 * (1 + np.cos(np.pi * number / 4)) / 2
        for mask, (name, w) in zip(pruning.masks.kept(), prunable(model).items(), strict=True):
            was, now = before[name] != 0, mask
            assert int((~now).sum()) == expected[name]
            assert (w[~now] == 0).all()
            if progress <= 0.5 and number == int(number):
                assert w.grad is not None
                after = before[name] - 0.05 * w.grad  # as the optimiser left it, before the masks
                count = int(share * int(was.sum()))
                grown, gone = now & ~was, was & ~now
                assert gone.sum() == grown.sum() <= count
                assert (w[grown] == 0).all()
                if gone.any():
                    stays = was & now & (after.abs() > after.abs()[was].sort().values[count - 1])
                    assert after.abs()[gone].max() <= after.abs()[stays].min()
                    others = ~now & ~was
                    assert w.grad.abs()[grown].min() >= w.grad.abs()[others].max()
                moved += int(grown.sum())
            else:
                assert ((w != 0) <= now).all()
                assert torch.equal(now, last[name]), "masks moved between moves"
        last = dict(zip(expected, pruning.masks.kept(), strict=True))
    assert moved > 100


def test_zeros_of_earlier_stages_never_grow_and_these_do_beside_their_hold() -> None:
    model = convolutional()
    first = WeightPruning(0.3, Magnitude(), scope=layerwise_threshold, until=0.0)
    first.prepare(model)
    (operation,) = first.finish()
    gone = {name: w == 0 for name, w in prunable(model).items()}
    second = WeightPruning(
        0.6,
        Magnitude(),
        scope=layerwise_threshold,
        schedule=one_shot,
        until=0.8,
        updates=4,
        regrow=0.5,
    )
    second.prepare(model)
    hold = operation.constraint(model)
    assert hold is not None
    ever = {name: torch.zeros_like(w, dtype=torch.bool) for name, w in prunable(model).items()}

    class Both:
        def step(self, progress: float) -> None:
            assert hold is not None
            hold()
            second.step(progress)

    train(model, Both(), range(1), 20)
    dropped = {name: w == 0 for name, w in prunable(model).items()}
    for step in range(1, 20):
        train(model, Both(), range(step, step + 1), 20)
        for name, w in prunable(model).items():
            assert (w[gone[name]] == 0).all()
            ever[name] |= dropped[name] & (w != 0)
    assert all(grown.any() for grown in ever.values())
    assert all(int((w == 0).sum()) == round(0.6 * w.numel()) for w in prunable(model).values())


# --- going on after a stop


@pytest.mark.parametrize(
    "make",
    [
        lambda: WeightPruning(0.8, Taylor(), until=0.9, updates=9),
        lambda: WeightPruning(0.8, Hessian(), scope=layerwise_threshold, until=0.9, updates=9),
        lambda: WeightPruning(0.6, Movement(), scope=layerwise_threshold, until=0.9, updates=9),
        lambda: WeightPruning(
            0.6, Activation(), Kernel(), layerwise_threshold, until=0.9, updates=9
        ),
        lambda: WeightPruning(0.8, Magnitude(), scope=layerwise_threshold, until=0.9, regrow=0.4),
        lambda: WeightPruning(None, Taylor(), NofM(), until=0.9, updates=9),
    ],
    ids=["taylor", "hessian", "movement", "activation", "regrow", "nm"],
)
@pytest.mark.parametrize("stop", [1, 11])
def test_a_stopped_pruning_goes_on_bit_for_bit(make: Callable[[], Any], stop: int) -> None:
    def start() -> tuple[nn.Module, Any]:
        model, pruning = convolutional(), make()
        pruning.prepare(model, image_probe())
        return model.to(memory_format=torch.channels_last), pruning  # type: ignore[call-overload]

    whole, pruning = start()
    train(whole, pruning, range(20), 20)
    model, pruning = start()
    train(model, pruning, range(stop), 20)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "pruning": pruning.state()}, file)
    train(model, pruning, range(stop, stop + 2), 20)  # what was saved is a copy or it is not
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    model, pruning = start()
    pruning.restore(saved["pruning"])
    model.load_state_dict(saved["model"])
    train(model, pruning, range(stop, 20), 20)
    assert pruning.ready
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_criteria_rest_when_the_masks_do() -> None:
    class Counting(Magnitude):
        updates = 0

        def update(self) -> None:
            self.updates += 1

    model, criterion = convolutional(), Counting()
    pruning = WeightPruning(0.5, criterion, until=0.5, updates=2)
    pruning.prepare(model)
    for step in range(1, 11):
        pruning.step(step / 10)
    assert criterion.updates == 5


# --- operations


def test_sparse_passes_over_layers_that_are_gone() -> None:
    model = convolutional()
    WeightPruning(0.9, Magnitude(), scope=layerwise_threshold, until=0.0).prepare(model)
    operation = Sparse([*LAYERS, "gone"])
    state = model.state_dict()
    decoded = operation.decode(operation.encode(state))
    assert decoded.keys() == state.keys()
    assert all(torch.equal(decoded[name], state[name]) for name in state)
    model.get_parameter("7.weight").data.add_(0.0)
    hold = operation.constraint(model)
    assert hold is not None
    before = zeros(model)
    for weight in prunable(model).values():
        weight.data.add_(1.0)
    hold()
    assert zeros(model) == before
    nothing = Sparse(["gone"]).constraint(model)
    assert nothing is not None
    nothing()


# --- every config


def settings_of(name: str) -> dict[str, Any]:
    """The file and its parts, without the rest of a config."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed: Any = OmegaConf.to_container(compose(f"prune/{name}"), resolve=True)
    settings: dict[str, Any] = composed["prune"]
    return settings


def test_settings_are_those_that_hydra_composes() -> None:
    for name in ("rigl", "random"):
        composed = config_of(f"prune={name}", "seed=0")["prune"]
        own = settings_of(name)
        assert own.items() <= composed.items()
        assert {"objective", "optim"} <= composed.keys() - own.keys()


@pytest.mark.parametrize("name", CONFS)
def test_every_config_prunes_a_network_to_what_it_says(name: str, network: Any) -> None:
    own = settings_of(name)
    kind = "resnet8" if "slim" in name or "filter" in name else "lenet5_tenth"
    _, model = network(kind, (4, 8, 8))
    if name == "nm_2_4":
        own["exclude"] = [n for n, w in prunable(model).items() if w.shape[1] % 4]
    model.double()
    made = build(own)
    made.prepare(model, image_probe(model))
    train(model, made, range(10), 10, lr=0.01)
    assert made.ready
    (operation,) = made.finish()
    gone, total = zeros(model, operation.layers)
    asked = own["rate"] if own["rate"] is not None else 0.5
    sizes = {n: prunable(model)[n] for n in operation.layers}
    most = max(w.numel() / (len(w) if w.ndim > 1 else 1) for w in sizes.values())
    exact = own["granularity"]["_target_"].endswith("Weight")
    slack = len(sizes) * (1 if exact else most)
    if own["scope"]["_target_"].endswith("keep_per_output"):
        slack = sum(len(w) for w in sizes.values())  # half a weight an output
    if own["regrow"]:
        slack += 0.02 * total  # grown ones that still are zero
    assert abs(gone - asked * total) <= slack
    kept = [n for n in prunable(model) if not any(fnmatch(n, p) for p in own["exclude"])]
    assert set(operation.layers) <= set(kept)


# --- sparse training


@pytest.mark.parametrize("amount", [0.0, 0.3, 5.0])
def test_a_soft_threshold_is_the_proximal_step_of_the_l1_norm(amount: float) -> None:
    before = [randn(4, 5), randn(7, seed=1)]
    after = [t.clone() for t in before]
    soft_threshold(after, amount)
    for was, now in zip(before, after, strict=True):
        x = was.numpy()
        expected = np.sign(x) * np.maximum(np.abs(x) - amount, 0)
        np.testing.assert_allclose(now.numpy(), expected, atol=1e-15)
        assert (now.numpy()[np.abs(x) <= amount] == 0).all() or amount == 0


def test_a_group_threshold_is_the_proximal_step_of_the_group_norm() -> None:
    """No neighbour of the result has a lower ½‖x - w‖² + τ·√n·‖x‖."""
    before = randn(5, 2, 3)
    before[4] = 0
    after, amount = before.clone(), 0.95
    group_soft_threshold(after, amount)
    assert torch.isfinite(after).all()
    assert (after[4] == 0).all()
    group_soft_threshold(same := before.clone(), 0.0)
    assert torch.equal(same, before)
    far = before.flatten(1).norm(dim=1) > amount * 6**0.5
    assert torch.equal(after.flatten(1).any(1), far)
    assert 0 < int(far.sum()) < 4

    def objective(x: Tensor) -> Tensor:
        distance = (x - before).flatten(1).square().sum(1) / 2
        return distance + amount * 6**0.5 * x.flatten(1).norm(dim=1)

    for seed in range(50):
        near = after + 0.01 * randn(5, 2, 3, seed=100 + seed)
        assert (objective(near) >= objective(after) - 1e-12).all()


def test_with_gradient_steps_it_finds_the_lasso() -> None:
    """min ½(w - a)² + λ|w| is sign(a)·max(|a| - λ, 0); strength = η·λ."""
    model = nn.Sequential(nn.Linear(6, 4, bias=False)).double()
    weight, target = model.get_parameter("0.weight"), randn(4, 6, seed=9)
    training = SparseTraining(0.1 * 0.4, penalty.L1(), constant)
    training.prepare(model)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    for step in range(300):
        optimizer.zero_grad()
        ((weight - target).square().sum() / 2).backward()
        optimizer.step()
        training.step((step + 1) / 300)
    exact = target.sign() * (target.abs() - 0.4).clamp_min(0)
    torch.testing.assert_close(weight.detach(), exact, atol=1e-9, rtol=0)
    assert torch.equal(weight == 0, exact == 0)


def test_strength_follows_the_schedule_and_leaves_the_rest_alone() -> None:
    model = convolutional()
    before = copy.deepcopy(model.state_dict())
    training = SparseTraining(1e-3, penalty.L1(), lambda p: 1 - p, exclude=["5"])
    training.prepare(model)
    training.step(0.75)
    model.load_state_dict(before)
    training.step(0.8)  # began at 0.75, and with it the learning rate
    for name, now in model.state_dict().items():
        was = before[name]
        if name in ("0.weight", "3.weight", "7.weight"):
            expected = was.sign() * (was.abs() - 0.25e-3).clamp_min(0)
            torch.testing.assert_close(now, expected)
        else:
            assert torch.equal(now, was), name
    assert training.finish() == []


def test_only_the_end_of_sparse_training_is_as_sparse_as_asked() -> None:
    model, training = convolutional(), SparseTraining(1e-3, penalty.L1())
    training.prepare(model)
    training.step(0.99)
    assert not training.ready
    training.step(1.0)
    assert training.ready
    other = SparseTraining(1e-3, penalty.L1())
    other.prepare(model)
    other.restore(training.state())
    assert other.ready


def test_group_lasso_and_slimming_weigh_on_what_can_be_taken_out() -> None:
    model = convolutional()
    groups, scales = penalty.GroupLasso(), penalty.Slimming()
    assert [id(p) for p in groups.parameters(model, ["3"])] == [
        id(model.get_parameter(f"{n}.weight")) for n in ("0", "5")
    ]
    assert [id(p) for p in scales.parameters(model, [])] == [id(model.get_parameter("1.weight"))]
    with pytest.raises(ConfigError, match="sparse.penalty=Slimming: "):
        SparseTraining(1e-3, scales, exclude=["1"]).prepare(model)
    training = SparseTraining(0.02, groups, constant)
    training.prepare(model)
    for _ in range(20):
        training.step(0.5)
    for name in ("0", "3", "5"):
        alive = model.get_parameter(f"{name}.weight").flatten(1).any(1)
        assert not alive.all(), name
    assert model.get_parameter("7.weight").all()
