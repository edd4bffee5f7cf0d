"""Merged neurons: who goes, who takes over, and that the network computes the same."""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from places import GOLDENS
from torch import Tensor, nn

from condenser import models
from condenser.checkpoint import model_spec
from condenser.checkpoint.model_spec import ModelSpec
from condenser.compress import CalibrationData
from condenser.compress.masks.sparse import Sparse, prunable
from condenser.compress.merging import Merging
from condenser.compress.merging.chain_weights import activations, incoming
from condenser.compress.merging.chains import chains
from condenser.compress.sharing import KMeansSharing, Shared
from condenser.errors import ConfigError
from condenser.functional.merging import (
    SIMILARITIES,
    directional,
    eliminate,
    euclidean,
    join,
    one_to_many,
    one_to_one,
    projected,
    rectified,
)

GOLDEN = json.loads((GOLDENS / "neuron_merging.json").read_text())
WAYS: list[dict[str, Any]] = [
    {"similarity": similarity, "mode": mode, "data": data}
    for similarity in SIMILARITIES
    for mode in ("one_to_one", "one_to_many")
    for data in (False, True)
]


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def calibration(*shape: int) -> CalibrationData:
    def in_parts(n: int) -> list[tuple[Tensor, Tensor]]:
        return [(randn(n, *shape, seed=9), torch.arange(n) % 3)]

    return CalibrationData(in_parts, F.cross_entropy, dict)


def mlp(activation: nn.Module | None = None) -> Any:
    torch.manual_seed(0)
    layers = [
        ("flatten", nn.Flatten()),
        ("fc1", nn.Linear(16, 12)),
        ("act1", activation or nn.ReLU()),
    ]
    layers += [
        ("drop1", nn.Dropout(0.5)),
        ("fc2", nn.Linear(12, 10)),
        ("act2", activation or nn.ReLU()),
    ]
    return nn.Sequential(OrderedDict([*layers, ("fc3", nn.Linear(10, 3))]))


def cnn() -> Any:
    """conv → bn → ReLU → pool → conv → bn → ReLU → flatten (2×2 a channel) → linear → linear."""
    torch.manual_seed(0)
    net: Any = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 8, 3, padding=1, bias=False),
            bn1=nn.BatchNorm2d(8),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(8, 10, 3, padding=1),
            bn2=nn.BatchNorm2d(10),
            relu2=nn.ReLU(),
            pool2=nn.AvgPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(40, 6),
            relu3=nn.ReLU(),
            fc2=nn.Linear(6, 3),
        )
    )
    for norm in (net.bn1, net.bn2):
        norm.running_mean.normal_()
        for tensor in (norm.weight, norm.bias, norm.running_var):
            tensor.data.uniform_(0.5, 2)  # no channel is dead
    net.fc1.bias.data.add_(3)
    return net


def copies(layer: Any, norm: Any, pairs: dict[int, int], scale: float = 1.0) -> None:
    """Neuron j gives ``scale`` times what neuron i gives."""
    for j, i in pairs.items():
        for tensor in (layer.weight, layer.bias):
            if tensor is not None:
                tensor.data[j] = tensor.data[i] * (1.0 if norm is not None else scale)
        if norm is not None:
            for tensor in (norm.running_mean, norm.running_var):
                tensor.data[j] = tensor.data[i]
            for tensor in (norm.weight, norm.bias):
                tensor.data[j] = tensor.data[i] * scale


def scales(way: dict[str, Any]) -> bool:
    """Whether it sees that one neuron is a multiple of another: all but plain l2."""
    return (way["similarity"], way["mode"]) != ("l2", "one_to_one")


def alike(model: nn.Module, before: nn.Module, images: Tensor, tolerance: float = 1e-5) -> bool:
    with torch.no_grad():
        return torch.allclose(model.eval()(images), before.eval()(images), atol=tolerance)


# --- redundant neurons leave without a trace


@pytest.mark.parametrize("way", WAYS, ids=lambda w: "-".join(map(str, w.values())))
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_copies_in_an_mlp_merge_and_nothing_changes(way: dict[str, Any], scale: float) -> None:
    model = mlp()
    copies(model.fc1, None, {3: 1, 7: 1, 11: 0}, scale)
    copies(model.fc2, None, {9: 2}, scale)
    before, merging = copy.deepcopy(model), Merging(**way, rate=0.25)
    merging.prepare(model, calibration(1, 4, 4))
    assert merging.merged == {"fc1": 3, "fc2": 2}
    assert (model.fc1.out_features, model.fc2.in_features) == (9, 9)
    assert not alike(model, before, randn(50, 1, 4, 4))  # fc2 had one copy, and lost two
    model = copy.deepcopy(before)
    Merging(**way, rate=0.25, exclude=["fc2"]).prepare(model, calibration(1, 4, 4))
    assert model.fc1.weight.shape == (9, 16) and model.fc2.weight.shape == (10, 9)
    assert alike(model, before, randn(50, 1, 4, 4)) == (scale == 1 or scales(way))


@pytest.mark.parametrize("way", WAYS, ids=lambda w: "-".join(map(str, w.values())))
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_copies_in_a_cnn_with_batch_norm_merge_and_nothing_changes(
    way: dict[str, Any], scale: float
) -> None:
    model = cnn()
    copies(model.conv1, model.bn1, {5: 1, 6: 1}, scale)
    copies(model.conv2, model.bn2, {0: 9, 4: 3, 7: 3}, scale)  # read as 4 inputs a channel
    copies(model.fc1, None, {2: 5}, scale)
    before, merging = copy.deepcopy(model), Merging(**way, threshold=0.0)
    merging.prepare(model, calibration(1, 8, 8))
    if scale == 1 or scales(way):
        assert merging.merged == {"conv1": 2, "conv2": 3, "fc1": 1}
        assert model.conv2.weight.shape == (7, 6, 3, 3) and model.bn2.num_features == 7
        assert model.fc1.weight.shape == (5, 28) and model.fc2.in_features == 5
    else:
        assert merging.merged == {"conv1": 1, "conv2": 1, "fc1": 0}  # copies of one are alike
    assert alike(model, before, randn(20, 1, 8, 8))


@pytest.mark.parametrize("mode", ["one_to_one", "one_to_many"])
@pytest.mark.parametrize("activation", [nn.LeakyReLU(0.2), nn.Identity(), nn.ReLU()], ids=str)
def test_scaled_copies_merge_behind_any_activation_that_keeps_a_factor(
    activation: nn.Module, mode: str
) -> None:
    model = mlp(activation)
    copies(model.fc1, None, {3: 1, 7: 1, 11: 0}, 1.7)
    before = copy.deepcopy(model)
    Merging("cosine", mode, rate=0.25, exclude=["fc2"]).prepare(model)
    assert model.fc1.out_features == 9
    assert alike(model, before, randn(50, 1, 4, 4))


@pytest.mark.parametrize("activation", [nn.Sigmoid(), nn.GELU(), nn.Hardtanh()], ids=str)
def test_behind_other_activations_only_what_needs_no_factor_merges(activation: nn.Module) -> None:
    model = mlp(activation)
    copies(model.fc1, None, {3: 1, 7: 1, 11: 0})
    for way in WAYS:
        again, merging = copy.deepcopy(model), Merging(**way, rate=0.25, exclude=["fc2"])
        if way["data"] or way["similarity"] == "activation" or not scales(way):
            merging.prepare(again, calibration(1, 4, 4))
            assert alike(again, model, randn(50, 1, 4, 4)), way
        else:
            with pytest.raises(ConfigError, match="merge.exclude=.*does not keep a factor"):
                merging.prepare(again, calibration(1, 4, 4))


def test_a_neuron_that_is_a_sum_of_others_on_the_data_is_taken_over_by_them() -> None:
    """Images and these weights are positive, so that no ReLU cuts."""
    model = mlp()
    model.fc1.weight.data.abs_()
    model.fc1.bias.data.abs_()
    for tensor in (model.fc1.weight, model.fc1.bias):
        tensor.data[4] = tensor.data[0] + 2 * tensor.data[1] + 0.5 * tensor.data[2]
    images = randn(400, 1, 4, 4).abs()
    seen = CalibrationData(lambda n: [(images[:n], torch.zeros(n))], F.cross_entropy, dict)
    errors = {}
    for mode in ("one_to_one", "one_to_many"):
        merged = copy.deepcopy(model)
        Merging("activation", mode, rate=1 / 12, exclude=["fc2"]).prepare(merged, seen)
        assert merged.fc1.out_features == 11
        errors[mode] = (merged.eval()(images) - model.eval()(images)).abs().max().item()
    assert errors["one_to_many"] < 1e-5 < errors["one_to_one"]


# --- the fold


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda c: str(c["weights"]))
def test_the_scaling_matrix_is_that_of_the_authors(case: dict[str, Any]) -> None:
    shape, a, b = case["weights"]
    weights = torch.sin(a * torch.arange(1, math.prod(shape) + 1).double() ** 1.5 + b).view(shape)
    kept = torch.tensor(case["kept"])
    removed = torch.tensor([j for j in range(shape[0]) if j not in case["kept"]])
    pairs = directional(weights @ weights.T)
    fold = one_to_one(pairs, pairs.scale, kept, removed)
    want = np.array(case["scaling"])[removed].T
    np.testing.assert_allclose(fold.numpy(), want, atol=1e-10)


@pytest.mark.parametrize("way", [w for w in WAYS if not w["data"]], ids=lambda w: str(w.values()))
@pytest.mark.parametrize("rate", [0.3, 0.6, 0.9])
def test_data_correct_the_fold(way: dict[str, Any], rate: float) -> None:
    """What is missing of the reader's output is less, for the same neurons gone."""
    model = mlp()
    errors = []
    for data in (False, True):
        merged = copy.deepcopy(model)
        Merging(**{**way, "data": data}, rate=rate, exclude=["fc2"]).prepare(
            merged, calibration(1, 4, 4)
        )
        images = calibration(1, 4, 4).sample(1024)[0]
        with torch.no_grad():
            gap = merged.eval()[:5](images) - model.eval()[:5](images)
        errors.append(gap.square().sum().item())
    free, corrected = errors
    if way["similarity"] == "activation":
        assert corrected == pytest.approx(free)
    elif way["mode"] == "one_to_many":  # the least that any fold leaves
        assert corrected < free
    else:  # least for each neuron alone, which their sum follows here
        assert corrected < free * 1.01


def test_data_correct_each_neuron_of_a_convolution() -> None:
    """Σ over images and places of (h_j - Σ f_ij h_i)², neuron by neuron."""
    model = cnn().eval()
    (chain,) = [c for c in chains(model)[0] if c.layer == "conv2"]
    images = randn(64, 1, 8, 8)
    seen, rows = activations(model, chain, images), incoming(model, chain)
    kept, removed = torch.arange(4), torch.arange(4, 10)
    pairs, gram = directional(rows @ rows.T), rectified(rows @ rows.T)
    with torch.no_grad():
        h = model[:8](images).movedim(1, -1).reshape(-1, 10).double()

    def left(fold: Tensor) -> Tensor:
        return (h[:, removed] - h[:, kept] @ fold).square().sum(dim=0)

    one = [one_to_one(pairs, fit, kept, removed) for fit in (pairs.scale, projected(seen).scale)]
    many = [one_to_many(g, kept, removed) for g in (gram, seen)]
    for better, worse in ((one[1], one[0]), (many[1], many[0]), (many[1], one[1])):
        assert (left(better) <= left(worse) + 1e-9).all()
        assert left(better).sum() < 0.9 * left(worse).sum()
    solved = np.linalg.lstsq(h[:, kept].numpy(), h[:, removed].numpy(), rcond=None)[0]
    np.testing.assert_allclose(many[1].numpy(), solved, rtol=1e-4, atol=1e-5)


def test_a_batch_norm_is_part_of_the_incoming_weights() -> None:
    model = cnn().eval()
    found = {chain.layer: chain for chain in chains(model)[0]}
    rows, x = incoming(model, found["conv1"]), randn(1, 1, 3, 3)
    with torch.no_grad():
        want = model.bn1(F.conv2d(x, model.conv1.weight)).flatten()
    got = rows.float() @ torch.cat([x.flatten(), torch.ones(1)])
    torch.testing.assert_close(got, want)


# --- who goes


def random_layer(n: int = 9, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(n, 5)), generator.normal(size=(n, 4))


def srinivas_babu(weights: np.ndarray, behind: np.ndarray, count: int) -> list[int]:
    """Their algorithm in loops: saliency ‖W_i - W_j‖²·‖a_j‖², least first, a_i += a_j."""
    behind, alive, removed = behind.copy(), list(range(len(weights))), []
    for _ in range(count):
        saliency = {
            (i, j): ((weights[i] - weights[j]) ** 2).sum() * (behind[j] ** 2).sum()
            for i, j in itertools.permutations(alive, 2)
        }
        i, j = min(saliency, key=lambda pair: saliency[pair])
        behind[i] += behind[j]
        alive.remove(j)
        removed.append(j)
    return removed


@pytest.mark.parametrize("seed", range(5))
def test_neurons_go_in_the_order_of_srinivas_and_babu(seed: int) -> None:
    weights, behind = random_layer(seed=seed)
    gram, outgoing = torch.tensor(weights @ weights.T), torch.tensor(behind @ behind.T)
    removed = join(euclidean(gram), gram.diagonal(), outgoing, 8)
    assert removed == srinivas_babu(weights, behind, 8)


def leave_one_out(vectors: np.ndarray, behind: np.ndarray, count: int) -> list[int]:
    """Least squares afresh for every neuron, every time."""
    behind, alive, removed = behind.copy(), list(range(len(vectors))), []
    for _ in range(count):
        costs, fits = {}, {}
        for j in alive:
            others = [i for i in alive if i != j]
            fits[j] = others, np.linalg.lstsq(vectors[others].T, vectors[j], rcond=None)[0]
            missed = vectors[j] - fits[j][1] @ vectors[others]
            costs[j] = (missed**2).sum() * (behind[j] ** 2).sum()
        j = min(costs, key=lambda one: costs[one])
        behind[fits[j][0]] += np.outer(fits[j][1], behind[j])
        alive.remove(j)
        removed.append(j)
    return removed


@pytest.mark.parametrize("seed", range(5))
def test_neurons_go_in_the_order_of_what_the_others_cannot_express(seed: int) -> None:
    behind = random_layer(8, seed)[1]
    vectors = np.random.default_rng(seed).normal(size=(8, 12))
    gram, outgoing = torch.tensor(vectors @ vectors.T), torch.tensor(behind @ behind.T)
    assert eliminate(gram, outgoing, 7) == leave_one_out(vectors, behind, 7)


def test_what_a_multiple_misses() -> None:
    weights = random_layer()[0]
    gram = torch.tensor(weights @ weights.T)
    for pairs in (directional(gram), projected(gram)):
        for i, j in itertools.permutations(range(9), 2):
            if weights[i] @ weights[j] <= 0:
                assert pairs.scale[i, j] == 0
                continue
            missed = weights[j] - pairs.scale[i, j].item() * weights[i]
            assert pairs.distance[i, j].item() == pytest.approx((missed**2).sum())
    best = projected(gram).distance
    assert (best <= directional(gram).distance + 1e-12).all()
    assert (best <= euclidean(gram).distance + 1e-12).all()


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
def test_expected_products_of_activations(slope: float) -> None:
    vectors = randn(4, 6).double()
    x = randn(400_000, 6, seed=1).double()
    h = F.leaky_relu(x @ vectors.T, slope)
    sampled, expected = h.T @ h / len(x), rectified(vectors @ vectors.T, slope)
    length = vectors.norm(dim=1)
    assert ((sampled - expected).abs() < 0.02 * length[:, None] * length[None, :]).all()
    same = rectified(torch.ones(2, 2, dtype=torch.float64), slope)
    torch.testing.assert_close(same, torch.full_like(same, (1 + slope**2) / 2))


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("mode", ["one_to_one", "one_to_many"])
def test_a_threshold_is_what_a_stand_in_may_miss(similarity: str, mode: str) -> None:
    counts = []
    for threshold in (0.0, 0.2, 0.6, 100.0):
        model = mlp()
        copies(model.fc1, None, {3: 1})
        rows = incoming(model, chains(model)[0][0])
        merging = Merging(similarity, mode, threshold=threshold, exclude=["fc2"])
        merging.prepare(model, calibration(1, 4, 4))
        counts.append(merging.merged["fc1"])
        if mode == "one_to_one" and similarity != "activation":
            pairs = SIMILARITIES[similarity](rows @ rows.T)
            left = model.fc1.weight.detach().double()
            kept = [i for i in range(12) if (rows[i, :-1] == left).all(dim=1).any()]
            nearest = pairs.distance[kept].min(dim=0).values / (rows @ rows.T).diagonal()
            assert (nearest[[j for j in range(12) if j not in kept]] <= threshold + 1e-6).all()
    assert counts[0] == 1
    assert counts == sorted(counts) and counts[1] < counts[3] <= 11


def test_a_dead_neuron_goes_first_and_is_not_missed() -> None:
    for way in filter(scales, WAYS):  # l2 merges what is alike, and knows no scale of 0
        model = mlp()
        model.fc1.weight.data[6], model.fc1.bias.data[6] = 0, 0
        before = copy.deepcopy(model)
        Merging(**way, rate=1 / 12, exclude=["fc2"]).prepare(model, calibration(1, 4, 4))
        assert alike(model, before, randn(20, 1, 4, 4)), way


# --- the whole network


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("way", [WAYS[0], WAYS[6], WAYS[-1]], ids=lambda w: str(w.values()))
def test_as_many_go_as_asked_for(rate: float, way: dict[str, Any]) -> None:
    model, merging = cnn(), Merging(**way, rate=rate)
    merging.prepare(model, calibration(1, 8, 8))
    widths = {"conv1": 8, "conv2": 10, "fc1": 6}
    assert merging.merged == {name: round(rate * n) for name, n in widths.items()}
    for name, n in widths.items():
        assert len(model.get_parameter(f"{name}.weight")) == n - round(rate * n)
    assert model(randn(2, 1, 8, 8)).shape == (2, 3)


def test_a_later_layer_is_merged_by_what_the_merged_ones_give_it() -> None:
    """Each fold is exact on these images where the next sees what is left, not the first net."""
    model = mlp(nn.Identity())  # fc1 gives 12 combinations of 16 pixels, fc2 10 of those
    images = randn(300, 1, 4, 4)
    images[:, 0, 1:] = 0  # of 4, in truth
    seen = CalibrationData(lambda n: [(images[:n], torch.zeros(n))], F.cross_entropy, dict)
    before = copy.deepcopy(model)
    Merging("activation", "one_to_many", rate=0.5).prepare(model, seen)
    assert (model.fc1.out_features, model.fc2.out_features) == (6, 5)
    assert alike(model, before, images, 1e-4)


@pytest.mark.parametrize("name", ["resnet", "wrn", "vgg"])
def test_a_merged_network_is_stored_and_read_back(name: str, tmp_path: Path) -> None:
    architectures: dict[str, dict[str, Any]] = {
        "resnet": {"_target_": "condenser.models.ResNet", "depth": 8, "widths": [4, 4, 8, 16]},
        "wrn": {"_target_": "condenser.models.WideResNet", "depth": 10, "widen": 1},
        "vgg": {"_target_": "condenser.models.VGG", "stages": [[4], [6], [6], [8], [8]]},
    }
    plan = ModelSpec(architectures[name], (1, 32, 32), 10)
    model, merging = plan.build().train(), Merging(rate=0.5, data=True, images=8)
    before = sum(p.numel() for p in model.parameters())
    merging.prepare(model, calibration(1, 32, 32))
    assert model.training and merging.ready and merging.state() == {}
    assert sum(p.numel() for p in model.parameters()) < 0.75 * before
    F.cross_entropy(model(randn(4, 1, 32, 32)), torch.arange(4)).backward()
    assert all(p.grad is not None for p in model.parameters())
    model_spec.save(tmp_path, plan.then(merging.finish()), model)
    _, loaded = model_spec.load(tmp_path)
    for key, want in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], want), key


def test_earlier_zeros_and_codebooks_do_not_stand_in_the_way(tmp_path: Path) -> None:
    architecture = {"_target_": "condenser.models.MLP", "widths": [20, 12]}
    plan = ModelSpec(architecture, (1, 4, 4), 3)
    model = plan.build()
    for weight in prunable(model).values():
        weight.data[randn(*weight.shape) < 0] = 0
    sharing, merging = KMeansSharing(3), Merging(rate=0.5)
    sharing.prepare(model)
    merging.prepare(model)
    names = list(prunable(model))
    plan = plan.then([Sparse(names), *sharing.finish(), *merging.finish()])
    assert len(plan.constraints(model)) >= 1
    model_spec.save(tmp_path, plan, model)
    _, loaded = model_spec.load(tmp_path)
    assert all(torch.equal(loaded.state_dict()[k], v) for k, v in model.state_dict().items())
    assert isinstance(plan.operations[1], Shared)


# --- where merging is possible


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.deep, self.group = nn.Conv2d(4, 4, 1, groups=4), nn.Conv2d(4, 4, 1)
        self.twice, self.late, self.norm = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.last, self.wide, self.unused = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.Linear(2, 2)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.relu(self.a(x)) + self.b(x)
        x = self.deep(F.relu(self.group(x)))
        x = self.twice(self.twice(x))
        x = self.norm(F.relu(self.late(x)))
        x = F.max_pool2d(self.last(x).relu(), 2)
        return self.head(torch.flatten(F.adaptive_avg_pool2d(self.wide(x), 1), 1))


def test_a_layer_that_cannot_be_merged_says_why() -> None:
    found, skipped = chains(Branches(), exclude=["wi*"])
    assert [(c.layer, c.reader, c.slope) for c in found] == [("last", "wide", 0.0)]
    assert skipped == {
        "stem": "its output is read 2 times",
        "a": "its output goes into add",
        "b": "its output goes into add",
        "group": "its output goes into deep, which is grouped or used more than once",
        "deep": "it is a grouped convolution",
        "twice": "it is used more than once",
        "late": "its output goes into norm, which is not its own batch norm",
        "wide": "exclude names it",
        "unused": "it is not called as a layer",
        "head": "its channels are the network's outputs",
    }


def test_a_residual_networks_blocks_are_merged_inside() -> None:
    model = models.build(
        {"_target_": "condenser.models.ResNet", "depth": 8, "widths": [4, 4, 8, 16]},
        (1, 16, 16),
        10,
    )
    found, skipped = chains(model)
    assert [(c.layer, c.norm, c.reader) for c in found] == [
        (f"layer{i}.0.conv1", f"layer{i}.0.bn1", f"layer{i}.0.conv2") for i in (1, 2, 3)
    ]
    assert skipped["conv1"] == "its output is read 2 times"


def test_linear_layers_over_tokens_merge_and_flattening_those_does_not() -> None:
    torch.manual_seed(0)
    tokens = nn.Sequential(
        nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.Flatten(), nn.Linear(24, 3)
    )
    found, skipped = chains(tokens)
    assert [c.layer for c in found] == ["0"]
    assert skipped["2"] == "its output goes into 4, which does not read channel by channel"
    copies(tokens[0], None, {6: 2})
    before = copy.deepcopy(tokens)
    Merging(rate=1 / 8, data=True).prepare(tokens, calibration(4, 5))
    assert alike(tokens, before, randn(7, 4, 5))


def test_a_network_that_cannot_be_traced_says_so() -> None:
    class Looks(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if x.sum() > 0 else x

    with pytest.raises(ConfigError, match="torch.fx cannot trace the network"):
        Merging(rate=0.5).prepare(Looks(nn.Linear(4, 4), nn.Linear(4, 4)))


# --- what is refused


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rate": None}, "merge.rate=null: must be a number where merge.threshold is null"),
        ({"threshold": 0.1}, "merge.rate=0.5: .*null where it is not"),
        ({"rate": 1.0}, "merge.rate=1.0: must be a number from 0 up to, not including, 1"),
        ({"rate": float("nan")}, "merge.rate=nan: "),
        ({"rate": None, "threshold": -0.1}, "merge.threshold=-0.1: "),
        ({"similarity": "cos"}, "merge.similarity=cos: unknown; did you mean cosine"),
        ({"mode": "one_to_two"}, "merge.mode=one_to_two: .*mean one_to_one"),
        ({"images": 0}, "merge.images=0: "),
    ],
    ids=str,
)
def test_what_merging_refuses(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Merging(**{"rate": 0.5, **settings})


def test_what_it_refuses_once_it_sees_the_network() -> None:
    with pytest.raises(ConfigError, match="merge.data=true: .*no training images"):
        Merging(rate=0.5, data=True).prepare(mlp())
    with pytest.raises(ConfigError, match="merge.similarity=activation: .*l2 or cosine"):
        Merging("activation", rate=0.5).prepare(mlp())
    with pytest.raises(ConfigError, match=r"merge.rate=0.96: .*fc1 has 12"):
        Merging(rate=0.96).prepare(mlp())
    with pytest.raises(ConfigError, match=r"merge.exclude=\['fc\*'\]: .*fc1: exclude names it"):
        Merging(rate=0.5, exclude=["fc*"]).prepare(mlp())
