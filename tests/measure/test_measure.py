"""What is measured agrees with counts and formulas done by hand, and measuring changes nothing."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from condenser.errors import CondenserError
from condenser.measure import (
    Predictions,
    compute,
    hardware,
    interleaved,
    latency,
    layers,
    predict,
    quality,
    settled,
    size,
    torch_latency,
    versions,
)
from condenser.measure.environment import NOTABLE, commit_of


class Batch(NamedTuple):
    image: Tensor
    target: Tensor


class Net(nn.Module):
    """Conv, BatchNorm and dropout, with the BatchNorm frozen while the rest trains."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4 * 8 * 8, 10)
        self.seen: list[tuple[bool, bool, int, bool]] = []
        self.train()
        self.norm.eval()

    def forward(self, image: Tensor) -> Tensor:
        flushed = sys.float_info.min / 2 == 0.0
        self.seen.append((self.training, torch.is_grad_enabled(), torch.get_num_threads(), flushed))
        return self.head(self.drop(self.norm(self.conv(image))).flatten(1))


class Broken(Net):
    def forward(self, image: Tensor) -> Tensor:
        super().forward(image)
        raise RuntimeError("broken on purpose")


def batches(count: int = 3) -> list[Any]:
    torch.manual_seed(0)
    return [Batch(torch.randn(4, 1, 8, 8), torch.randint(10, (4,))) for _ in range(count)]


@contextmanager
def nothing_changes(model: nn.Module) -> Iterator[None]:
    def state() -> list[object]:
        hooks = [
            (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
            for m in model.modules()
        ]
        shared = torch.nn.modules.module
        return [
            [m.training for m in model.modules()],
            hooks,
            [p.requires_grad for p in model.parameters()],
            [t.clone().tolist() for t in model.state_dict().values()],
            len(shared._global_forward_hooks),
            len(shared._global_forward_pre_hooks),
            torch.is_grad_enabled(),
            torch.get_num_threads(),
            sys.float_info.min / 2 == 0.0,
            torch.backends.mha.get_fastpath_enabled(),
            torch.backends.cuda.flash_sdp_enabled(),
            torch.backends.cuda.mem_efficient_sdp_enabled(),
            torch.backends.cuda.math_sdp_enabled(),
        ]

    before = state()
    yield
    assert state() == before


MEASURES: dict[str, Callable[[nn.Module], object]] = {
    "predict": lambda model: predict(model, batches()),
    "size": size,
    "compute": lambda model: compute(model, torch.randn(1, 1, 8, 8)),
    "torch_latency": lambda model: torch_latency(model, torch.randn(1, 1, 8, 8), budget_s=0.01),
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES.keys())
@pytest.mark.parametrize("kind", [Net, Broken])
def test_measuring_changes_no_state(
    measure: Callable[[nn.Module], object], kind: type[Net]
) -> None:
    model = kind()
    with nothing_changes(model):
        try:
            measure(model)
        except RuntimeError as error:
            assert "on purpose" in str(error)
    assert all(not training and not grad for training, grad, _, _ in model.seen)


# quality ---------------------------------------------------------------------------------------


def test_predict_is_the_eval_forward_in_order() -> None:
    model, data = Net(), batches()
    logits, targets = predict(model, data)
    model.eval()
    expected = torch.cat([model(batch.image) for batch in data]).detach()
    assert torch.equal(logits, expected)
    assert torch.equal(targets, torch.cat([batch.target for batch in data]))
    assert logits.dtype == torch.float32
    assert not logits.is_inference() and not logits.requires_grad


def test_predict_takes_any_callable() -> None:
    def session(image: Tensor) -> np.ndarray:
        return image.numpy().reshape(len(image), -1)[:, :10].astype(np.float64)

    logits, _ = predict(session, batches(1))
    assert torch.equal(logits, batches(1)[0].image.flatten(1)[:, :10])


def test_predict_without_a_batch_says_so() -> None:
    with pytest.raises(CondenserError, match="no batch"):
        predict(Net(), [])


def by_hand(logits: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Float64, from the definitions; Guo's bins are (low, high]."""
    z = logits.astype(np.float64)
    z = z - z.max(axis=1, keepdims=True)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    right = p.argmax(axis=1) == targets
    confidence = p.max(axis=1)
    which = np.ceil(confidence * 15).astype(int) - 1
    ece = 0.0
    for b in range(15):
        inside = which == b
        if inside.any():
            ece += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    top = np.argsort(-z, axis=1)[:, :5]
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return {
        "accuracy": right.mean(),
        "top5": (top == targets[:, None]).any(axis=1).mean(),
        "ece": ece,
        "nll": -log_p[np.arange(len(z)), targets].mean(),
    }


@pytest.mark.parametrize("scale", [0.05, 3.0, 60.0])
def test_quality_agrees_with_the_definitions(scale: float) -> None:
    """0.05: logits within [0, 1], which are no probabilities; 60: confidences of exactly 1."""
    rng = np.random.default_rng(0)
    logits = (scale * rng.random((500, 7))).astype(np.float32)
    targets = np.where(rng.random(500) < 0.6, logits.argmax(1), rng.integers(0, 7, 500))
    got = quality(Predictions(torch.from_numpy(logits), torch.from_numpy(targets)))
    assert got == pytest.approx(by_hand(logits, targets), abs=1e-6)


def test_a_certain_model_that_errs_has_the_ece_of_one_bin() -> None:
    """Both rows are in the last bin: at 1 and wrong, just below 1 and right."""
    logits = torch.tensor([[200.0, 0.0], [7.0, 0.0]])
    got = quality(Predictions(logits, torch.tensor([1, 0])))
    confidence = (1 + 1 / (1 + np.exp(-7.0))) / 2
    assert got["ece"] == pytest.approx(confidence - 0.5, abs=1e-6)


def test_top5_needs_six_classes() -> None:
    targets = torch.tensor([0, 5])
    six = torch.arange(6.0).repeat(2, 1)
    assert quality(Predictions(six, targets))["top5"] == 0.5
    assert quality(Predictions(six[:, :5], torch.tensor([0, 4])))["top5"] is None


def test_quality_beside_a_teacher() -> None:
    rng = np.random.default_rng(1)
    student, teacher = rng.normal(size=(2, 300, 4)).astype(np.float32)
    targets = rng.integers(0, 4, 300)
    got = quality(
        Predictions(torch.from_numpy(student), torch.from_numpy(targets)),
        torch.from_numpy(teacher),
    )
    p, q = (np.exp(x.astype(np.float64)) for x in (teacher, student))
    p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    assert got["teacher_kl"] == pytest.approx((p * np.log(p / q)).sum(1).mean())
    assert got["teacher_agreement"] == pytest.approx((p.argmax(1) == q.argmax(1)).mean())
    assert got["teacher_accuracy"] == pytest.approx((p.argmax(1) == targets).mean())


def test_quality_is_finite_for_extreme_logits() -> None:
    logits = torch.tensor([[3e38, -3e38, 0.0], [-3e38, 3e38, 0.0]])
    got = quality(Predictions(logits, torch.tensor([0, 0])), teacher=-logits)
    assert all(np.isfinite(value) for value in got.values() if value is not None)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_not_hidden(bad: float) -> None:
    fine, logits = torch.randn(5, 3), torch.randn(5, 3)
    logits[1, 2] = logits[3, 0] = logits[3, 1] = bad
    targets = torch.zeros(5, dtype=torch.int64)
    with pytest.raises(CondenserError, match="2 of 5 rows of the model's"):
        quality(Predictions(logits, targets))
    with pytest.raises(CondenserError, match="2 of 5 rows of the teacher's"):
        quality(Predictions(fine, targets), logits)


def test_a_teacher_of_something_else_is_left_out() -> None:
    """Of other classes, say; its number of outputs tells."""
    fine, targets = torch.randn(5, 3), torch.zeros(5, dtype=torch.int64)
    alone, beside = (quality(Predictions(fine, targets), t) for t in (None, torch.randn(5, 4)))
    unknown = ("teacher_accuracy", "teacher_agreement", "teacher_kl")
    assert beside == alone | dict.fromkeys(unknown)


# size ------------------------------------------------------------------------------------------


def test_size_of_lenet_300_100() -> None:
    """Han et al.: 266.6 K parameters, 1066 KB."""
    model = nn.Sequential(nn.Linear(784, 300), nn.Linear(300, 100), nn.Linear(100, 10))
    found = size(model)
    assert found.pop("distinct") > 200_000  # of random floats some are equal
    assert found == {"params": 266610, "nonzero": 266610, "fp32_bytes": 1066440}


def test_size_counts_running_statistics_in_bytes_only() -> None:
    norm = nn.BatchNorm2d(8)
    nn.init.ones_(norm.bias)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), norm)
    model.register_buffer("mean", torch.zeros(3), persistent=False)
    params = 3 * 8 * 9 + 8 + 2 * 8
    found = size(model)
    assert found.pop("distinct") <= 3 * 8 * 9 + 8 + 1 + 1  # the norm's scales and shifts are all 1
    assert found == {"params": params, "nonzero": params, "fp32_bytes": 4 * (params + 16)}


def test_distinct_values_are_counted_tensor_by_tensor_without_zero() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0, 1], [2, -1, 0]]))
        model[0].bias.fill_(1)
        model[1].weight.zero_()
    assert [row.distinct for row in layers(model)] == [4, 0]
    assert size(model)["distinct"] == 4


def test_a_shared_parameter_counts_once() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    model[1].weight = model[0].weight
    model.append(model[0])
    assert size(model)["params"] == 36 + 6 + 6
    assert [row.params for row in layers(model)] == [42, 6]


def test_sparsity_is_read_back_from_the_weights() -> None:
    wide, narrow = nn.Linear(10, 4), nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        wide.weight[:, :3] = 0
        narrow.weight[0] = -0.0
    model = nn.Sequential(wide, nn.ReLU(), narrow)
    first, second = layers(model)
    assert (first.name, first.type, first.shape) == ("0", "Linear", (4, 10))
    assert (first.params, first.nonzero, first.sparsity) == (44, 32, pytest.approx(0.3))
    assert (second.params, second.nonzero, second.sparsity) == (8, 4, 0.5)
    assert size(model)["nonzero"] == 36


class Mask(nn.Module):
    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


def test_a_parametrised_weight_counts_as_forward_sees_it() -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3))
    mask = torch.ones(4, 2, 3, 3)
    mask[:2] = 0
    parametrize.register_parametrization(model[0], "weight", Mask(mask))
    live = {"params": 76, "nonzero": 40, "distinct": size(model)["distinct"], "fp32_bytes": 304}
    assert live["distinct"] <= 40
    assert size(model) == live
    assert layers(model)[0].type == "Conv2d" and layers(model)[0].sparsity == 0.5
    parametrize.remove_parametrizations(model[0], "weight")
    assert size(model) == live


# compute ---------------------------------------------------------------------------------------


def lenet5() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10),
    )  # fmt: skip


torch.manual_seed(0)  # a weight drawn is 0 once in millions
LENET5_MACS = 24**2 * 20 * 25 + 8**2 * 50 * 20 * 25 + 800 * 500 + 500 * 10


@pytest.mark.parametrize(
    ("model", "shape", "macs"),
    [
        (lenet5(), (1, 28, 28), LENET5_MACS),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), (8, 6, 6), 6 * 6 * 8 * 9),
        (nn.Conv2d(8, 16, 3, stride=2, groups=4), (8, 9, 9), 4 * 4 * 16 * 2 * 9),
        (nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2), (4, 5, 5), 5 * 5 * 4 * 3 * 4),
        (nn.Linear(7, 3), (2, 5, 7), 2 * 5 * 7 * 3),
    ],
    ids=["lenet5", "depthwise", "grouped", "transposed", "linear per position"],
)
def test_macs_in_closed_form(model: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    example = torch.randn(1, *shape)
    assert compute(model, example) == {"macs": macs, "nonzero_macs": macs}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert compute(model, example) == {"macs": macs, "nonzero_macs": 0}


def test_half_the_weights_are_half_the_nonzero_macs() -> None:
    model = lenet5()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("weight"):
                parameter.flatten()[::2] = 0
    got = compute(model, torch.randn(1, 1, 28, 28))
    assert got == {"macs": LENET5_MACS, "nonzero_macs": LENET5_MACS // 2}


def test_a_layer_used_twice_counts_twice_and_products_count_as_dense() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 6, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            x = self.layer(self.layer(x))
            return F.scaled_dot_product_attention(x, x, x)

    model = Twice()
    with torch.no_grad():
        model.layer.weight[:2] = 0
    attention = 2 * 5 * 5 * 6
    got = compute(model, torch.randn(1, 1, 5, 6))
    assert got == {"macs": 2 * 180 + attention, "nonzero_macs": 2 * 120 + attention}


def test_fast_path_attention_is_counted() -> None:
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    got = compute(model, torch.randn(1, 5, 8))
    assert got["macs"] == 5 * 8 * 8 * 4 + 2 * 5 * 5 * 8 + 2 * 5 * 8 * 16


def test_resnet18_has_the_published_macs() -> None:
    """torchvision's table: 1.81 GMACs."""
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    macs = compute(models.resnet18(), torch.randn(1, 3, 224, 224))["macs"]
    assert macs == pytest.approx(1.814e9, rel=1e-3)


def test_compute_takes_one_image() -> None:
    with pytest.raises(ValueError, match="2 images"):
        compute(lenet5(), torch.randn(2, 1, 28, 28))


# latency ---------------------------------------------------------------------------------------


class Clock:
    """Time that passes only when a call says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ns = 0
        module = importlib.import_module("condenser.measure.latency")
        monkeypatch.setattr(module, "perf_counter_ns", lambda: self.ns)
        monkeypatch.setattr(module, "perf_counter", lambda: self.ns / 1e9)

    def call(self, milliseconds: Callable[[int], float]) -> Callable[[], None]:
        count = 0

        def work() -> None:
            nonlocal count
            self.ns += round(1e6 * milliseconds(count))
            count += 1

        return work


def test_latency_leaves_the_warm_up_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first call of 60 ms is the warm-up; then 1, 2, 3, 4, 5 ms."""
    call = Clock(monkeypatch).call(lambda n: 60 if n == 0 else n)
    got = latency(call, rounds=5, budget_s=0.25)
    assert got == {"median": 3, "iqr": 2, "min": 1, "n": 5}


def test_latency_keeps_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    assert latency(clock.call(lambda n: 1), rounds=10**6, budget_s=0.25)["n"] < 250
    assert clock.ns <= 0.252e9
    before = clock.ns
    assert latency(clock.call(lambda n: 1000), budget_s=0.25)["n"] == 3
    assert clock.ns - before == 4e9


def test_interleaved_survives_a_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine slows down round by round; b stays twice as fast as a in each."""
    order: list[str] = []
    clock = Clock(monkeypatch)

    def named(name: str, base: float) -> Callable[[], None]:
        work = clock.call(lambda n: base * (1 + n))

        def noted() -> None:
            order.append(name)
            work()

        return noted

    got = interleaved({"a": named("a", 2), "b": named("b", 1)}, rounds=6, budget_s=0.25)
    assert "".join(order) == "ab" * (len(order) // 2)
    assert got["a"]["ratio"] == 1 and got["b"]["ratio"] == 2 and got["b"]["ratio_iqr"] == 0
    assert got["a"]["median"] == 2 * got["b"]["median"] and got["a"]["n"] == got["b"]["n"]


@pytest.mark.parametrize("flush", [False, True])
def test_torch_latency_settles_the_machine_and_puts_it_back(flush: bool) -> None:
    model, before = Net(), torch.get_num_threads()
    try:
        torch.set_flush_denormal(flush)
        with nothing_changes(model):
            got = torch_latency(model, torch.randn(1, 1, 8, 8), threads=2, budget_s=0.02)
    finally:
        torch.set_flush_denormal(False)
    assert set(model.seen) == {(False, False, 2, True)}
    assert torch.get_num_threads() == before
    assert got["runtime"] == "torch-eager cpu" and got["threads"] == 2
    assert set(got) == {"ms_b1", "iqr_b1", "runtime", "threads"} and float(got["ms_b1"]) > 0


def test_denormals_are_flushed_in_torch() -> None:
    tiny = torch.full((64,), 1e-40)
    assert (tiny * 0.5).any()
    with settled():
        assert not (tiny * 0.5).any()
    assert (tiny * 0.5).any()


# environment -----------------------------------------------------------------------------------


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return subprocess.run(
        ["git", "-C", str(folder), *who, *arguments],
        check=True, capture_output=True, text=True, env=clean,
    ).stdout.strip()  # fmt: skip


def test_commit_names_the_checkout_of_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "src").mkdir()
    code, other = tmp_path / "src" / "code.py", tmp_path / "other.py"
    code.write_text("1")
    other.write_text("1")
    assert commit_of(code) is None  # no repository
    git(tmp_path, "init")
    assert commit_of(code) is None  # not tracked
    git(tmp_path, "add", "src")
    assert commit_of(code) is None  # no commit yet
    git(tmp_path, "commit", "-m", "one")
    short = git(tmp_path, "rev-parse", "--short", "HEAD")
    assert commit_of(code) == short
    assert commit_of(other) is None
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert commit_of(code) == short
    code.write_text("2")
    assert commit_of(code) == short + "+"
    monkeypatch.setenv("PATH", "")
    assert commit_of(code) is None  # no git


def test_versions_are_those_that_run() -> None:
    assert f"torch {torch.__version__}" in versions()
    assert versions().startswith("python " + ".".join(map(str, sys.version_info[:3])))


def test_hardware_names_the_flags_that_int8_depends_on() -> None:
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        pytest.skip("no /proc/cpuinfo on this system")
    words = hardware().replace(",", " ").replace(";", " ").split()
    assert [flag for flag in NOTABLE if flag in flags] == [f for f in words if f in NOTABLE]
    assert f"{len(os.sched_getaffinity(0))} cores" in hardware()


def test_what_imports_slowly_is_imported_where_it_is_used() -> None:
    slow = {"torchmetrics", "pytorch_lightning", "onnx", "onnxruntime", "torchvision"}
    files = list(Path(inspect.getfile(Predictions)).parent.glob("*.py"))
    assert len(files) >= 6
    for file in files:
        top = ast.parse(file.read_text()).body
        names = [alias.name for node in top if isinstance(node, ast.Import) for alias in node.names]
        names += [str(node.module) for node in top if isinstance(node, ast.ImportFrom)]
        found = slow.intersection(name.split(".")[0] for name in names)
        assert not found and "condenser.data" not in names, f"{file.name} imports {found or names}"
