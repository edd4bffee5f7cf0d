"""The energy estimate against sums done by hand, and counters against made-up ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from condenser.measure import above_idle, compute, counters, energy, joules
from condenser.measure.energy import mac_energy

DRAM, SRAM = 1300 / 64, 100 / 64  # pJ a bit


@pytest.mark.parametrize(
    ("weight_bits", "input_bits", "picojoules"),
    [(32, None, 4.6), (8, None, 4.6), (8, 8, 0.3), (4, 4, 0.15), (2, 8, 0.15), (1, 1, 0.103125)],
)
def test_a_multiply_accumulate_costs_what_was_published(
    weight_bits: int, input_bits: int | None, picojoules: float
) -> None:
    assert mac_energy(weight_bits, input_bits) == pytest.approx(picojoules)


@pytest.mark.parametrize(
    ("widths", "mac", "weight", "value"),
    [({}, 4.6, 32, 32), ({"1": (8, 8)}, 0.3, 8, 8), ({"1": (4, None)}, 4.6, 4, 32)],
)
def test_a_linear_layer_by_hand(widths: Any, mac: float, weight: int, value: int) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    found = energy(net, torch.randn(1, 1, 2, 2), widths)
    assert found["macs_uj"] == pytest.approx(12 * mac / 1e6)
    moved = (12 * weight + 3 * 32) * DRAM + (4 + 3) * value * SRAM
    assert found["memory_uj"] == pytest.approx(moved / 1e6)
    assert found["uj"] == found["macs_uj"] + found["memory_uj"]


def test_convolutions_with_groups_and_batch_norm_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(4, 8, 3, groups=4, bias=False), nn.BatchNorm2d(8), nn.Flatten())
    found = energy(net, torch.randn(1, 4, 5, 5), {"0": (8, 8)})
    assert found["macs_uj"] == pytest.approx(8 * 3 * 3 * 1 * 9 * 0.3 / 1e6)
    stored = 8 * 9 * 8 + 4 * 8 * 32  # γ, β, mean and variance in float
    moved = stored * DRAM + (4 * 25 + 8 * 9) * 8 * SRAM
    assert found["memory_uj"] == pytest.approx(moved / 1e6)


@pytest.mark.parametrize("name", ["resnet8", "mobilenet_v2", "lenet5"])
def test_all_arithmetic_of_a_network_is_counted_once(network: Any, name: str) -> None:
    model, image = network(name, (1, 28, 28))[1], torch.randn(1, 1, 28, 28)
    expected = compute(model, image)["macs"] * 4.6 / 1e6
    assert energy(model, image)["macs_uj"] == pytest.approx(expected)


def test_products_within_attention_are_floats() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.attention(image[:, 0], image[:, 0], image[:, 0], need_weights=False)[0]

    model, image = Net().eval(), torch.randn(1, 1, 6, 8)
    expected = compute(model, image)["macs"] * 4.6 / 1e6
    assert expected > 0
    assert energy(model, image)["macs_uj"] == pytest.approx(expected)


class Package:
    """A made-up processor package whose counter every call moves on."""

    def __init__(self, root: Path, name: str, start: int, step: int, limit: int = 10**9) -> None:
        self.folder, self.value, self.step, self.limit = root / name, start, step, limit
        self.folder.mkdir()
        (self.folder / "max_energy_range_uj").write_text(f"{limit}\n")
        self.write()

    def write(self) -> None:
        (self.folder / "energy_uj").write_text(f"{self.value}\n")

    def work(self) -> None:
        self.value = (self.value + self.step) % self.limit
        self.write()


def test_counters_of_all_packages_are_added_a_call(tmp_path: Path) -> None:
    one = Package(tmp_path, "intel-rapl:0", 500, 3000)
    wraps = Package(tmp_path, "intel-rapl:1", 10**9 - 1500, 1000)
    Package(tmp_path, "intel-rapl:0:0", 0, 0)  # a part of the first
    assert [p.name for p in counters.domains(tmp_path)] == ["intel-rapl:0", "intel-rapl:1"]

    def call() -> None:
        one.work()
        wraps.work()

    assert joules(call, budget_s=0.05, root=tmp_path) == pytest.approx(4000 / 1e6)
    assert wraps.value < 10**8  # it started again


def test_what_the_machine_takes_asleep_is_not_the_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that only calls and sleep move on: 3 W asleep, 0.25 J more of each call of 0.1 s."""
    one = Package(tmp_path, "intel-rapl:0", 0, 0)
    clock = [0.0]

    def goes_on(seconds: float, joules: float = 0) -> None:
        clock[0] += seconds
        one.step = round((3 * seconds + joules) * 1e6)
        one.work()

    monkeypatch.setattr(counters, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(counters, "sleep", goes_on)
    found = above_idle(lambda: goes_on(0.1, 0.25), repeats=3, seconds=0.95, root=tmp_path)
    assert found == pytest.approx({"j_per_1000": 250, "j_per_1000_iqr": 0, "idle_w": 3}, abs=1e-3)
    assert above_idle(lambda: None, root=tmp_path / "none") is None


def test_without_a_counter_there_is_no_number(tmp_path: Path) -> None:
    def call() -> None:
        raise AssertionError("nothing is to be measured")

    assert joules(call, root=tmp_path / "none") is None
    (tmp_path / "intel-rapl:0").mkdir()  # and no file to read in it
    assert joules(call, root=tmp_path) is None
