"""Shared weights: few numbers, found by k-means, trained as centroids, stored as labels."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser import models
from condenser.checkpoint import model_spec
from condenser.checkpoint.model_spec import ModelSpec
from condenser.compress.masks.sparse import Sparse, prunable
from condenser.compress.quantization import PostTraining
from condenser.compress.sharing import KMeansSharing, Shared
from condenser.compress.sharing.tied import TIES
from condenser.errors import ConfigError
from condenser.functional.clustering import (
    INITS,
    codebook,
    density,
    distinct,
    kmeans,
    linear,
    nearest,
    pack_labels,
    unpack_labels,
)

LAYERS = ["0", "3", "5"]


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small(zeros: float = 0.0) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 20))
    net.extend([nn.ReLU(), nn.Linear(20, 10)])
    for seed, weight in enumerate(prunable(net).values()):
        weight.data[
            torch.rand(weight.shape, generator=torch.Generator().manual_seed(seed)) < zeros
        ] = 0
    return net


def weights(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: w.detach().numpy().copy() for name, w in prunable(model).items()}


def partition(weight: np.ndarray) -> list[tuple[int, ...]]:
    """Which places hold one number, whatever the number is."""
    values, label = np.unique(weight, return_inverse=True)
    return sorted(tuple(np.flatnonzero(label.ravel() == i)) for i in range(len(values)))


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-2, weight_decay=0.1),
    "nesterov": lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-3),
}


def batches(steps: int) -> list[tuple[Tensor, Tensor]]:
    return [(randn(16, 1, 8, 8, seed=i), torch.arange(16) % 10) for i in range(steps)]


def train(model: nn.Module, optimizer: torch.optim.Optimizer, data: Any, after: Any) -> None:
    for image, target in data:
        optimizer.zero_grad()
        F.cross_entropy(model(image), target).backward()
        optimizer.step()
        after()


# --- k-means on a line


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("count", [2, 4, 16, 64])
def test_centroids_are_scikit_learns(init: str, count: int) -> None:
    """Same first centroids, the same local minimum, emptied clusters refilled alike."""
    from sklearn.cluster import KMeans

    values = randn(3000).double() ** 3  # heavy tails: evenly spaced centroids stand alone
    first = INITS[init](values, count)
    model = KMeans(count, init=first.numpy()[:, None], n_init=1, tol=0, max_iter=1000)
    model.fit(values.numpy()[:, None])
    found = kmeans(values, first)
    np.testing.assert_allclose(found.numpy(), np.sort(model.cluster_centers_.ravel()), rtol=1e-9)
    inertia = ((values - found[nearest(values, found)]) ** 2).sum()
    assert inertia.item() == pytest.approx(model.inertia_, rel=1e-9)


def test_a_centroid_is_the_mean_of_the_values_nearest_to_it() -> None:
    values = randn(500).double()
    found = codebook(values, 8, linear)
    label = np.abs(values.numpy()[:, None] - found.numpy()).argmin(axis=1)
    np.testing.assert_array_equal(nearest(values, found).numpy(), label)
    means = [values.numpy()[label == i].mean() for i in range(8)]
    np.testing.assert_allclose(found.numpy(), means, rtol=1e-12)


def test_first_centroids() -> None:
    values = torch.tensor([0.0, 1, 2, 3, 4, 5, 6, 100])[torch.randperm(8)]
    assert linear(values, 5).tolist() == [0, 25, 50, 75, 100]
    assert density(values, 4).tolist() == [1, 3, 5, 100]  # the middle of each quarter
    torch.manual_seed(0)
    drawn = INITS["random"](values, 8)
    assert sorted(drawn.tolist()) == sorted(values.tolist())  # without replacement


def test_a_value_on_a_border_belongs_to_the_lower_centroid() -> None:
    values, first = torch.tensor([0.0, 1, 2]).double(), torch.tensor([0.0, 2]).double()
    assert nearest(values, first).tolist() == [0, 0, 1]
    assert kmeans(values, first).tolist() == [0.5, 2]


def test_neighbouring_floats_are_told_apart() -> None:
    values = torch.tensor([0.1]).view(torch.int32) + torch.arange(50, dtype=torch.int32)
    close = values.view(torch.float32)
    assert nearest(close, close).tolist() == list(range(50))


def test_values_that_are_few_already_stay_what_they_are() -> None:
    values = torch.tensor([0.1, -0.3, 0.1, 7.0])
    assert torch.equal(codebook(values, 4, linear).float(), torch.tensor([-0.3, 0.1, 7.0]))


def test_distinct_counts_zero_too() -> None:
    assert distinct(torch.tensor([[0.0, 1.0], [1.0, -0.0], [2.0, 0.5]])) == 4


@pytest.mark.parametrize("bits", [1, 3, 4, 5, 8])
@pytest.mark.parametrize("n", [1, 7, 1000])
def test_labels_take_so_many_bits(bits: int, n: int) -> None:
    labels = torch.randint(2**bits, (n,), generator=torch.Generator().manual_seed(n))
    packed = pack_labels(labels, bits)
    number = sum(int(label) << bits * i for i, label in enumerate(labels))
    assert bytes(packed.tolist()) == number.to_bytes(-(-n * bits // 8), "little")
    assert torch.equal(unpack_labels(packed, bits, n).long(), labels)


# --- sharing before training


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
@pytest.mark.parametrize("zeros", [0.0, 0.7])
def test_so_many_numbers_are_read_back_and_zeros_stay(bits: int, zeros: float) -> None:
    model = small(zeros)
    before = weights(model)
    KMeansSharing(bits).prepare(model)
    for name, after in weights(model).items():
        nonzero = np.unique(before[name][before[name] != 0]).size
        assert np.unique(after[after != 0]).size == min(2**bits, nonzero)
        np.testing.assert_array_equal(after == 0, before[name] == 0)
        assert distinct(model.get_parameter(f"{name}.weight")) == min(2**bits, nonzero) + (
            zeros > 0
        )


def test_zeros_do_not_pull_centroids() -> None:
    model = small(0.7)
    kept = [w[w != 0] for w in weights(model).values()]
    KMeansSharing(1).prepare(model)
    for real, after in zip(kept, weights(model).values(), strict=True):
        low, high = sorted(set(after[after != 0].tolist()))
        middle = (low + high) / 2
        assert low == pytest.approx(real[real <= middle].mean(), rel=1e-5)
        assert high == pytest.approx(real[real > middle].mean(), rel=1e-5)


def test_one_codebook_across_layers() -> None:
    model, alone = small(), small()
    KMeansSharing(3, across=True).prepare(model)
    KMeansSharing(3).prepare(alone)
    assert np.unique(np.concatenate([w.ravel() for w in weights(model).values()])).size == 8
    assert np.unique(np.concatenate([w.ravel() for w in weights(alone).values()])).size == 24


def test_sharing_again_changes_nothing() -> None:
    model = small(0.5)
    KMeansSharing(4).prepare(model)
    before = weights(model)
    KMeansSharing(4, init="random").prepare(model)
    for name, after in weights(model).items():
        np.testing.assert_array_equal(after, before[name])


def test_excluded_layers_are_left_alone() -> None:
    model, before = small(), weights(small())
    sharing = KMeansSharing(2, exclude=["0", "[4-9]"])
    sharing.prepare(model)
    changed = [n for n, w in weights(model).items() if not np.array_equal(w, before[n])]
    assert changed == ["3"]
    assert sharing.ready
    assert sharing.finish() == [Shared(["3"], 2, False)]


# --- training centroids


class Centroids(nn.Module):
    """The same network with its codebooks as the parameters, by autograd: what is to be equalled.

    ``of``: layer → which codebook; ``label``: layer → index of each weight.
    """

    def __init__(self, model: nn.Module, across: bool) -> None:
        super().__init__()
        self.net = copy.deepcopy(model)
        self.of = {name: 0 if across else i for i, name in enumerate(LAYERS)}
        self.books = nn.ParameterList()
        self.label: dict[str, Tensor] = {}
        for group in [LAYERS] if across else [[name] for name in LAYERS]:
            values = torch.cat([self.net.get_parameter(f"{n}.weight").flatten() for n in group])
            book, label = values.detach().unique(return_inverse=True)
            self.books.append(nn.Parameter(book))
            sizes = [self.net.get_parameter(f"{n}.weight").numel() for n in group]
            self.label |= dict(zip(group, label.split(sizes), strict=True))
        self.fixed = {n: (w.detach() != 0) for n, w in prunable(self.net).items()}
        self.biases = [p for n, p in self.net.named_parameters() if n.endswith("bias")]

    def weight(self, name: str) -> Tensor:
        mask = self.fixed[name]
        return self.books[self.of[name]][self.label[name]].view(mask.shape) * mask

    def forward(self, image: Tensor) -> Tensor:
        made = {f"{name}.weight": self.weight(name) for name in LAYERS}
        return torch.func.functional_call(self.net, made, (image,))


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
@pytest.mark.parametrize("across", [False, True])
def test_training_is_that_of_the_centroids(optimizer: str, across: bool) -> None:
    make: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
        "adam": lambda p: torch.optim.Adam(p, lr=1e-2),
        "momentum": lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9),
    }
    model = small(0.5).double()
    sharing = KMeansSharing(2, across=across)
    sharing.prepare(model)
    reference = Centroids(model, across)
    data = [(image.double(), target) for image, target in batches(20)]
    train(model, make[optimizer](model.parameters()), data, lambda: sharing.step(1.0))
    own = make[optimizer]([*reference.books, *reference.biases])
    train(reference, own, data, lambda: None)
    for name in LAYERS:
        got, want = model.get_parameter(f"{name}.weight"), reference.weight(name)
        np.testing.assert_allclose(got.detach(), want.detach(), rtol=1e-7, atol=1e-9)
    numbers = np.unique(np.concatenate([w.ravel() for w in weights(model).values()]))
    assert numbers.size == 1 + (4 if across else 12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("bits", [1, 4])
def test_clusters_stay_together_and_move(optimizer: str, bits: int) -> None:
    model = small(0.5)
    sharing = KMeansSharing(bits)
    sharing.prepare(model)
    before = weights(model)
    descent = OPTIMIZERS[optimizer](model.parameters())
    train(model, descent, batches(10), lambda: sharing.step(1.0))
    for name, after in weights(model).items():
        assert partition(after) == partition(before[name])
        np.testing.assert_array_equal(after == 0, before[name] == 0)
        assert not np.isin(after[after != 0], before[name]).any(), "a centroid did not move"


class Turn(torch.optim.Optimizer):
    """A step that does not go weight by weight: each takes its neighbour's gradient."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                p.data.sub_(group["lr"] * p.grad.flatten().roll(1).view(p.shape))


def test_members_become_their_mean_where_an_optimizer_parts_them() -> None:
    model = small(0.5)
    sharing = KMeansSharing(2)
    sharing.prepare(model)
    before = weights(model)
    parted: dict[str, np.ndarray] = {}

    def after() -> None:
        parted.update(weights(model))
        sharing.step(1.0)

    train(model, Turn(model.parameters(), 1e-2), batches(1), after)
    for name, got in weights(model).items():
        assert partition(parted[name]) != partition(before[name])
        want = np.zeros_like(got)
        for value in np.unique(before[name][before[name] != 0]):
            members = before[name] == value
            want[members] = parted[name][members].mean(dtype=np.float64)
        np.testing.assert_allclose(got, want, rtol=1e-5)
        assert partition(got) == partition(before[name])


def test_the_step_itself_moves_members_alike_and_zeros_not_at_all() -> None:
    model = small(0.5)
    sharing = KMeansSharing(2)
    sharing.prepare(model)
    before = weights(model)
    train(model, torch.optim.SGD(model.parameters(), lr=1e-3), batches(1), lambda: None)
    for name, after in weights(model).items():
        assert partition(after) == partition(before[name])
        np.testing.assert_array_equal(after == 0, before[name] == 0)
        assert (after != before[name]).any()


def test_accumulated_gradients_are_summed_once() -> None:
    """Two halves of a batch give the step of the whole."""

    def after_a_step(parts: int) -> dict[str, np.ndarray]:
        model = small().double()
        sharing = KMeansSharing(2)
        sharing.prepare(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
        ((image, target),) = batches(1)
        for half in zip(image.double().chunk(parts), target.chunk(parts), strict=True):
            (F.cross_entropy(model(half[0]), half[1]) / parts).backward()
        optimizer.step()
        sharing.step(1.0)
        return weights(model)

    whole, halves = after_a_step(1), after_a_step(2)
    for name in LAYERS:
        np.testing.assert_allclose(halves[name], whole[name], rtol=1e-12)


def test_centroids_that_are_not_trained_stay_while_the_rest_trains() -> None:
    model = small(0.5)
    sharing = KMeansSharing(3, train=False)
    sharing.prepare(model)
    before, bias = weights(model), model.get_parameter("5.bias").detach().clone()
    descent = OPTIMIZERS["adamw"](model.parameters())  # its weight decay moves weights alone
    train(model, descent, batches(3), lambda: sharing.step(1.0))
    for name, after in weights(model).items():
        np.testing.assert_array_equal(after, before[name])
    assert not torch.equal(model.get_parameter("5.bias"), bias)


def test_structure_is_kept_wherever_the_trainer_moves_the_weights() -> None:
    model = small(0.5)
    sharing = KMeansSharing(2)
    sharing.prepare(model)
    before = weights(model)
    model.double().to(memory_format=torch.channels_last)
    descent = torch.optim.SGD(model.parameters(), lr=1e-3)
    data = [(image.double(), target) for image, target in batches(2)]
    train(model, descent, data, lambda: sharing.step(1.0))
    for name, after in weights(model).items():
        assert partition(after) == partition(before[name])
        assert (after != before[name].astype(np.float64)).any()


def test_a_killed_training_goes_on_to_the_same_bits() -> None:
    def start() -> tuple[nn.Module, torch.optim.Optimizer, KMeansSharing]:
        torch.manual_seed(3)
        model, sharing = small(0.5), KMeansSharing(3, init="random")
        sharing.prepare(model)
        return model, OPTIMIZERS["adamw"](model.parameters()), sharing

    model, descent, sharing = start()
    train(model, descent, batches(8), lambda: sharing.step(1.0))
    first, descent, sharing = start()
    train(first, descent, batches(8)[:5], lambda: sharing.step(1.0))
    saved = copy.deepcopy((first.state_dict(), descent.state_dict(), sharing.state()))
    second, descent, sharing = start()
    sharing.restore(saved[2])
    second.load_state_dict(saved[0])
    descent.load_state_dict(saved[1])
    train(second, descent, batches(8)[5:], lambda: sharing.step(1.0))
    for name, want in model.state_dict().items():
        assert torch.equal(second.state_dict()[name], want), name


def test_two_networks_in_one_process_do_not_touch_each_other() -> None:
    free, model = small(), small()
    alone, sharing = copy.deepcopy(free), KMeansSharing(2)
    train(alone, OPTIMIZERS["adamw"](alone.parameters()), batches(3), lambda: None)
    sharing.prepare(model)
    train(free, OPTIMIZERS["adamw"](free.parameters()), batches(3), lambda: sharing.step(1.0))
    for name, after in weights(free).items():
        np.testing.assert_array_equal(after, weights(alone)[name])


def test_a_sharing_that_is_gone_leaves_nothing_behind() -> None:
    model, sharing = small(), KMeansSharing(2)
    sharing.prepare(model)
    del sharing
    gc.collect()
    assert not any(w is v for t in TIES for v in t.weights.values() for w in model.parameters())


# --- later stages


def shared(bits: int = 3, across: bool = False, zeros: float = 0.5) -> tuple[Any, Shared]:
    model, sharing = small(zeros), KMeansSharing(bits, across=across)
    sharing.prepare(model)
    (operation,) = sharing.finish()
    assert isinstance(operation, Shared)
    return model, operation


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("across", [False, True])
def test_later_training_moves_centroids_and_never_splits_them(optimizer: str, across: bool) -> None:
    model, operation = shared(across=across)
    before = weights(model)
    hold = operation.constraint(model)
    assert hold is not None
    train(model, OPTIMIZERS[optimizer](model.parameters()), batches(5), hold)
    after = weights(model)
    for name in LAYERS:
        assert partition(after[name]) == partition(before[name])
        assert (after[name] == before[name]).sum() == (before[name] == 0).sum()
    if across:
        assert np.unique(np.concatenate([w.ravel() for w in after.values()])).size == 9


def test_later_training_is_that_of_the_stage_itself() -> None:
    (model, operation), (again, _) = shared(), shared()
    sharing = KMeansSharing(3)
    sharing.prepare(again)
    hold = operation.constraint(model)
    train(model, OPTIMIZERS["adamw"](model.parameters()), batches(4), hold)
    train(again, OPTIMIZERS["adamw"](again.parameters()), batches(4), lambda: sharing.step(1.0))
    for name, want in weights(again).items():
        np.testing.assert_array_equal(weights(model)[name], want)


@pytest.mark.parametrize("held_first", [False, True])
@pytest.mark.parametrize("across", [False, True])
def test_a_second_sharing_rules_over_what_the_first_one_holds(
    held_first: bool, across: bool
) -> None:
    """Gradients are summed once, over the clusters of the second, whoever comes first."""
    (model, operation), (alone, _) = shared(4), shared(4)
    second, other = (KMeansSharing(2, across=across) for _ in range(2))
    hold = operation.constraint(model) if held_first else None
    second.prepare(model)
    other.prepare(alone)
    hold = hold or operation.constraint(model) or (lambda: None)

    def both() -> None:
        hold()
        second.step(1.0)

    for net, after in ((model, both), (alone, lambda: other.step(1.0))):
        train(net, torch.optim.SGD(net.parameters(), lr=1e-3), batches(4), after)
    for name, want in weights(alone).items():
        np.testing.assert_array_equal(weights(model)[name], want)
    numbers = np.concatenate([w[w != 0] for w in weights(model).values()])
    assert np.unique(numbers).size == (4 if across else 12)


@pytest.mark.parametrize("optimizer", ["turn", "adamw"])
def test_held_weights_go_on_to_the_same_bits_after_a_kill(optimizer: str) -> None:
    """A new process holds the weights of the stage before, then loads those of the checkpoint."""
    make = {**OPTIMIZERS, "turn": lambda p: Turn(p, 1e-2)}[optimizer]

    def start() -> tuple[nn.Module, torch.optim.Optimizer, Any]:
        model, operation = shared()
        return model, make(model.parameters()), operation.constraint(model)

    model, descent, hold = start()
    train(model, descent, batches(8), hold)
    first, descent, hold = start()
    train(first, descent, batches(8)[:5], hold)
    saved = copy.deepcopy((first.state_dict(), descent.state_dict()))
    second, descent, hold = start()
    second.load_state_dict(saved[0])
    descent.load_state_dict(saved[1])
    train(second, descent, batches(8)[5:], hold)
    for name, want in model.state_dict().items():
        assert torch.equal(second.state_dict()[name], want), name


def test_pruning_after_sharing_takes_members_without_moving_the_others_towards_zero() -> None:
    model, operation = shared(1, zeros=0.0)
    hold = operation.constraint(model)
    assert hold is not None
    before = weights(model)
    dropped = {n: randn(*w.shape, seed=7) > 0 for n, w in prunable(model).items()}
    lr = 1e-4
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for image, target in batches(3):
        for name, weight in prunable(model).items():
            weight.data[dropped[name]] = 0
        train(model, optimizer, [(image, target)], hold)
    for name, after in weights(model).items():
        gone = dropped[name].numpy()
        assert (after[gone] == 0).all()
        assert np.unique(after[~gone]).size == 2
        np.testing.assert_allclose(after[~gone], before[name][~gone], rtol=0.2)


def test_a_layer_that_is_gone_or_no_longer_shared_is_passed_over() -> None:
    model, operation = shared()
    model[5] = nn.Identity()
    model.get_parameter("3.weight").data.copy_(randn(20, 216))
    before = weights(model)
    hold = operation.constraint(model)
    assert hold is not None
    ((image, _),) = batches(1)
    descent = torch.optim.SGD(model.parameters(), lr=1e-3)
    train(model, descent, [(image, torch.arange(16) % 10)], hold)
    after = weights(model)
    assert partition(after["0"]) == partition(before["0"])
    assert distinct(model.get_parameter("3.weight")) > 4000  # trained as any other
    state = model.state_dict()
    coded = operation.encode(state)
    assert "0.weight" not in coded
    assert torch.equal(coded["3.weight"], state["3.weight"])
    assert Shared(["9"], 3).constraint(model) is None


# --- as stored


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("zeros", [0.0, 0.5])
@pytest.mark.parametrize("bits", [1, 3, 5, 8])
def test_what_is_stored_is_read_back_and_small(bits: int, zeros: float, across: bool) -> None:
    model, operation = shared(bits, across, zeros)
    state = model.state_dict()
    coded = operation.encode(state)
    whole = operation.decode(coded)
    assert whole.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(whole[name], tensor) and whole[name].dtype == tensor.dtype, name
    size = sum(t.nbytes for name, t in coded.items() if "bias" not in name)
    layers = [w.detach().numpy() for w in prunable(model).values()]
    assert size == sum(
        least_bytes(group) for group in ([layers] if across else [[w] for w in layers])
    )


def least_bytes(layers: list[np.ndarray]) -> int:
    """A codebook of floats, shapes, a label a weight, and where there are zeros a bit a weight."""
    kept = [w[w != 0] for w in layers]
    numbers = np.unique(np.concatenate(kept)).size
    bits = max(int(np.ceil(np.log2(numbers))), 1)
    labels = sum(-(-w.size * bits // 8) for w in kept)
    masks = sum(-(-w.size // 8) for w in layers if (w == 0).any())
    whole = 4 * numbers + labels + masks + sum(4 * w.ndim for w in layers)
    return min(whole, sum(w.nbytes for w in layers))


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("zeros", [0.0, 0.6])
def test_a_pruned_shared_model_comes_back_bit_for_bit(
    tmp_path: Path, across: bool, zeros: float
) -> None:
    architecture = {"_target_": "condenser.models.MLP", "widths": [40, 20]}
    plan = ModelSpec(architecture, (1, 8, 8), 10)
    model = plan.build()
    names = list(prunable(model))
    for weight in prunable(model).values():
        weight.data[randn(*weight.shape) < torch.special.ndtri(torch.tensor(zeros))] = 0
    sharing = KMeansSharing(4, across=across)
    sharing.prepare(model)
    plan = plan.then([Sparse(names), *sharing.finish()])
    model_spec.save(tmp_path, plan, model)
    again, loaded = model_spec.load(tmp_path)
    assert again.operations == plan.operations
    for name, want in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], want)
    floats = sum(w.numel() for w in prunable(model).values()) * 4
    share = 1 / 32 + 0.4 * 4 / 32 if zeros else 4 / 32
    assert (tmp_path / "weights.safetensors").stat().st_size < floats * share + 3000


def test_sharing_twice_in_any_order_is_stored_and_read_back() -> None:
    """The later operation encodes first; the earlier takes what that left."""
    model = small()
    for sharing in (KMeansSharing(3, across=True), KMeansSharing(2, across=True, exclude=["0"])):
        sharing.prepare(model)
    operations = [Shared(LAYERS, 3, True), Shared(LAYERS[1:], 2, True), Shared(LAYERS, 3)]
    state = model.state_dict()
    coded = state
    for operation in reversed(operations):
        coded = operation.encode(coded)
    for operation in operations:
        coded = operation.decode(coded)
    assert coded.keys() == state.keys()
    assert all(torch.equal(coded[name], tensor) for name, tensor in state.items())


def test_integer_codes_of_a_later_quantisation_are_stored_as_labels() -> None:
    model, operation = shared()
    operations = [operation, *PostTraining(8, None)(model, randn(32, 1, 8, 8))]
    state = model.state_dict()
    coded = state
    for one in reversed(operations):
        coded = one.encode(coded)
    assert "3.weight" not in coded and coded["3.weight.codebook"].dtype == torch.int8
    assert sum(t.nbytes for t in coded.values()) < sum(
        t.nbytes for t in operations[-1].encode(state).values()
    )
    for one in operations:
        coded = one.decode(coded)
    assert all(torch.equal(coded[name], tensor) for name, tensor in state.items())


def test_the_operation_is_plain_json() -> None:
    operation = Shared(["a", "b"], 4, True)
    assert Shared.from_json(operation.to_json()) == operation


def test_every_layer_of_a_network_of_the_zoo_is_shared() -> None:
    architecture = {"_target_": "condenser.models.LeNet5", "widths": [6, 16, 150]}
    model = models.build(architecture, (1, 28, 28), 10)
    KMeansSharing(4).prepare(model)
    assert [distinct(w) for w in prunable(model).values()] == [16] * 4


# --- what is refused


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bits": 0}, "share.bits=0: must be a whole number from 1 to 8"),
        ({"bits": 9}, "share.bits=9: "),
        ({"bits": 2.5}, "share.bits=2.5: "),
        ({"init": "linaer"}, "share.init=linaer: unknown; did you mean linear"),
    ],
    ids=str,
)
def test_what_sharing_refuses(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        KMeansSharing(**{"bits": 4, **settings})


def test_excluding_every_layer_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"share.exclude=\['\*'\]: "):
        KMeansSharing(4, exclude=["*"]).prepare(small())
