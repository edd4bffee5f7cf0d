"""A sensitivity analysis measures what pruning alone does, and leaves the network as it was."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser.analysis import (
    RATES,
    Curve,
    Score,
    analyse,
    channel_units,
    evaluator,
    rank,
    rates_for,
    sensitivity,
    weight_units,
)
from condenser.analysis.sensitivity import NO_EFFECT
from condenser.analysis.study import validation
from condenser.compress import Magnitude, PerLayerRates, WeightPruning, prunable, sparsity
from condenser.compress.channels import KeptChannels, removed
from condenser.compress.channels.graph import channel_groups
from condenser.data import Batch, DataModule, digits
from condenser.errors import CondenserError, ConfigError
from condenser.report import sensitivity as report
from condenser.report.figures.sensitivity_curve import draw, points
from condenser.tasks import Multiclass, Multilabel


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def judged_by_itself(model: nn.Module, n: int = 200) -> Any:
    """A score on images whose right answers are the network's own."""
    images = randn(n, 1, 8, 8)
    with torch.no_grad():
        targets = model.eval()(images).argmax(dim=1)
    index = torch.arange(n)
    # The last batch is smaller: a mean over batches would be wrong.
    parts = [Batch(images[i], targets[i], i) for i in index.split(150)]
    return evaluator(parts, Multiclass(10))


def bits(model: nn.Module) -> dict[str, bytes]:
    return {name: t.numpy().tobytes() for name, t in model.state_dict().items()}


# --- the curves


def test_a_network_that_can_be_worked_out_by_hand() -> None:
    """y = diag(1 … 10)·x on one-hot images. The 90 zeros go first, then the smallest of the
    diagonal; class 0 is what a row of zeros answers, and the loss is -ln of the softmax."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(10, 10, bias=False))
    values = torch.arange(1.0, 11.0)
    model.get_parameter("1.weight").data = values.diag()
    index = torch.arange(10)
    batch = Batch(torch.eye(10).view(10, 1, 1, 10), index, index)
    units, left = weight_units(model)
    (curve,), none = sensitivity(model, evaluator([batch], Multiclass(10)), units, [0.9, 0.5, 0.95])
    assert (left, none) == ({}, {})
    assert (curve.unit, curve.layers, curve.size) == ("1", ["1"], 100)
    assert curve.rates == [0, 0.5, 0.9, 0.95]
    assert curve.accuracy == pytest.approx([1, 1, 1, 0.6])
    whole = np.mean([np.log(np.exp(d) + 9) - d for d in range(1, 11)])
    half = np.mean([np.log(np.exp(d) + 9) - d for d in [0] * 5 + [6, 7, 8, 9, 10]])
    assert curve.loss == pytest.approx([whole, whole, whole, half], rel=1e-5)


@pytest.mark.parametrize("name", ["mlp_32", "lenet5_tenth", "resnet8"])
def test_a_curve_is_what_numpy_prunes_in_a_copy_of_the_network(network: Any, name: str) -> None:
    _, model = network(name)
    evaluate = judged_by_itself(model)
    units, left = weight_units(model)
    curves, none = sensitivity(model, evaluate, units, (0.25, 0.9))
    assert {**left, **none} == {}
    assert [c.unit for c in curves] == [*prunable(model)]
    for curve in curves:
        for at, count in ((1, round(0.25 * curve.size)), (2, round(0.9 * curve.size))):
            pruned = copy.deepcopy(model)
            weight = pruned.get_parameter(f"{curve.unit}.weight").detach()
            order = np.argsort(np.abs(weight.numpy().ravel()), kind="stable")[:count]
            weight.view(-1)[torch.from_numpy(order)] = 0
            with torch.no_grad():
                expected = evaluate(pruned)
            assert curve.rates[at] == pytest.approx(count / weight.numel())
            assert curve.accuracy[at] == expected.accuracy
            assert curve.loss[at] == pytest.approx(expected.loss, rel=1e-6)
        assert (curve.accuracy[0], curve.rates[0]) == (1.0, 0.0)
    assert min(c.accuracy[2] for c in curves) < 0.9


@pytest.mark.parametrize("name", ["lenet5_tenth", "resnet8", "mobilenet_v2"])
def test_zeroing_a_channel_is_what_cutting_it_would_be(network: Any, name: str) -> None:
    _, model = network(name)
    evaluate = judged_by_itself(model, 64)
    image = randn(1, 1, 8, 8)
    units, left = channel_units(model, image)
    units = units[:4]
    curves, _ = sensitivity(model, evaluate, units, [0.3, 0.7])
    groups = {group.name: group for group in channel_groups(model, image)[0]}
    last = next(reversed(prunable(model)))
    assert left[last] == "its channels are the network's outputs"
    for curve in curves:
        group = groups[curve.unit]
        norms = np.zeros(group.size)
        for part in group.slices:
            if part.side == "out" and part.layer in curve.layers:
                rows = model.get_parameter(f"{part.layer}.weight").detach().flatten(1).numpy()
                squares = (rows[part.position.numpy()] ** 2).sum(axis=1)
                np.add.at(norms, part.channel.numpy(), squares)
        for at, rate in ((1, 0.3), (2, 0.7)):
            gone = np.argsort(norms, kind="stable")[: round(rate * group.size)]
            kept = torch.ones(group.size, dtype=torch.bool)
            kept[torch.from_numpy(gone)] = False
            cut = copy.deepcopy(model)
            KeptChannels.without(cut, removed([group], {group.name: kept})).apply(cut)
            with torch.no_grad():
                expected = evaluate(cut)
            assert curve.loss[at] == pytest.approx(expected.loss, rel=1e-4)


def test_what_can_only_be_cut_together_is_one_knob(network: Any) -> None:
    _, model = network("resnet8")
    units, _ = channel_units(model, randn(1, 1, 8, 8))
    layers = {unit.name: unit.layers for unit in units}
    assert layers["conv1"] == ("conv1", "layer1.0.conv2")
    assert set(layers["layer2.0.conv2"]) == {"layer2.0.conv2", "layer2.0.downsample.0"}
    assert layers["layer1.0.conv1"] == ("layer1.0.conv1",)
    _, mobile = network("mobilenet_v2")
    units, _ = channel_units(mobile, randn(1, 1, 8, 8))
    assert ("layer2.0.conv1", "layer2.0.conv2") in [unit.layers for unit in units]
    every = [layer for unit in units for layer in unit.layers]
    assert len(every) == len(set(every))


def test_a_weight_that_two_layers_share_is_one_unit() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))
    model.append(nn.Linear(64, 10))
    model[3].weight = model[1].weight
    units, _ = weight_units(model)
    assert [(unit.name, unit.layers) for unit in units] == [("1", ("1",)), ("4", ("4",))]
    curves, _ = sensitivity(model, judged_by_itself(model), units, [0.5])
    assert set(rates_for(curves, 0.05)) == {"1", "4"}


# --- nothing is left behind


@pytest.mark.parametrize("granularity", ["weights", "channels"])
def test_every_bit_of_the_network_is_put_back(network: Any, granularity: str) -> None:
    _, model = network("resnet8")
    model.get_parameter("fc.weight").data[0, 0] = -0.0
    model.to(memory_format=torch.channels_last).train()
    model.layer1.eval()
    before, modes = bits(model), [m.training for m in model.modules()]
    image = randn(1, 1, 8, 8)
    units, _ = weight_units(model) if granularity == "weights" else channel_units(model, image)
    scores = iter(np.linspace(1, 0.1, 1000))
    seen = set()

    def evaluate(model: nn.Module) -> Score:
        seen.add(bits(model)["conv1.weight"] + bits(model)["layer2.0.conv1.weight"])
        assert not model.training and not torch.is_grad_enabled()
        return Score(next(scores), 1.0)

    sensitivity(model, evaluate, units, [0.5, 0.9])
    assert len(seen) >= 7  # as it was, and three moves of each of the two
    assert bits(model) == before
    assert [m.training for m in model.modules()] == modes

    def stopped(model: nn.Module) -> Score:
        if bits(model) != before:
            raise KeyboardInterrupt
        return Score(1.0, 1.0)

    with pytest.raises(KeyboardInterrupt):
        sensitivity(model, stopped, units)
    assert bits(model) == before
    assert [m.training for m in model.modules()] == modes


# --- what cannot be measured is never robust


class Idle(nn.Module):
    """Layers of which some do nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused, self.empty = nn.Linear(64, 30), nn.Linear(64, 30), nn.Linear(64, 30)
        self.one, self.last = nn.Linear(1, 1), nn.Linear(30, 10)
        nn.init.zeros_(self.empty.weight)

    def forward(self, image: Tensor) -> Tensor:
        x = image.flatten(1)
        return self.last(self.used(x) + self.empty(x)) + self.one(x[:, :1])


def test_a_layer_that_cannot_be_pruned_has_no_curve_no_rate_and_no_rank() -> None:
    torch.manual_seed(0)
    model = Idle()
    units, left = weight_units(model)
    curves, none = sensitivity(model, judged_by_itself(model), units)
    assert {**left, **none} == {
        "empty": "all its weights are zero already",
        "unused": NO_EFFECT,
        "one": "of its 1 none can go at these rates",
    }
    assert [c.unit for c in curves] == ["used", "last"]
    assert set(rates_for(curves, 1.0)) == {"used", "last"}
    assert {name for name, _ in rank(curves)} == {"used", "last"}


def test_a_network_that_is_already_pruned_loses_nothing_up_to_there(network: Any) -> None:
    _, model = network("lenet5_tenth")
    WeightPruning(0.6, Magnitude(), until=0.0).prepare(model)
    zeros = {name: sparsity({name: w}) for name, w in prunable(model).items()}
    curves, _ = sensitivity(model, judged_by_itself(model), weight_units(model)[0])
    for curve in curves:
        for rate, accuracy, loss in zip(curve.rates, curve.accuracy, curve.loss, strict=True):
            if rate <= zeros[curve.unit]:
                assert (accuracy, loss) == (curve.accuracy[0], curve.loss[0])


@pytest.mark.parametrize("rates", [[], [0.0], [0.5, 1.0], [-0.1], [float("nan")]], ids=str)
def test_rates_out_of_range_are_refused(network: Any, rates: list[float]) -> None:
    _, model = network("mlp_32")
    with pytest.raises(ConfigError, match="rates=.*above 0 and below 1"):
        sensitivity(model, lambda _: Score(1, 1), weight_units(model)[0], rates)


def test_a_network_whose_loss_is_not_finite_is_refused(network: Any) -> None:
    _, model = network("mlp_32")
    with pytest.raises(CondenserError, match="not finite"):
        sensitivity(model, lambda _: Score(0.1, float("nan")), weight_units(model)[0])


# --- what follows from curves


def curve(name: str, rates: list[float], accuracy: list[float], layers: Any = None) -> Curve:
    return Curve(name, layers or [name], 100, rates, accuracy, [0.0] * len(rates))


FALLING = curve("a", [0, 0.2, 0.5, 0.8], [0.9, 0.9, 0.88, 0.4])
RECOVERING = curve("b", [0, 0.2, 0.5, 0.8], [0.9, 0.86, 0.9, 0.9], ["b", "c"])
GAINING = curve("d", [0, 0.3, 0.9], [0.9, 0.92, 0.91])


@pytest.mark.parametrize(
    ("max_drop", "rates"),
    [
        # a: 0.2 + 0.3·(0.01/0.02); b: 0.2·(0.01/0.04); d never falls: the last that was measured
        (0.01, {"a": 0.35, "b": 0.05, "c": 0.05, "d": 0.9}),
        (0.0, {"a": 0.2, "b": 0.0, "c": 0.0, "d": 0.9}),
        # a: 0.5 + 0.3·(0.24 - 0.02)/0.48; b recovers before it has lost so much
        (0.24, {"a": 0.6375, "b": 0.8, "c": 0.8, "d": 0.9}),
        (1.0, {"a": 0.8, "b": 0.8, "c": 0.8, "d": 0.9}),
    ],
)
def test_the_rate_that_costs_so_much_is_where_the_line_first_crosses(
    max_drop: float, rates: dict[str, float]
) -> None:
    found = rates_for([FALLING, RECOVERING, GAINING], max_drop)
    assert found == pytest.approx(rates)
    passes = {c.unit: c.passes(max_drop) for c in (FALLING, RECOVERING, GAINING)}
    assert passes == {"a": max_drop < 0.5, "b": max_drop < 0.04, "d": False}


@pytest.mark.parametrize("max_drop", [-0.01, 1.5, float("nan")])
def test_a_drop_out_of_range_is_refused(max_drop: float) -> None:
    with pytest.raises(ConfigError, match="max_drop="):
        rates_for([FALLING], max_drop)


def test_the_rank_is_by_the_area_above_the_curve() -> None:
    ranked = rank([GAINING, RECOVERING, FALLING])
    assert [name for name, _ in ranked] == ["a", "b", "d"]
    for c in (FALLING, RECOVERING, GAINING):
        area = np.trapezoid(c.accuracy[0] - np.array(c.accuracy), c.rates)
        assert dict(ranked)[c.unit] == pytest.approx(area / c.rates[-1])


def test_rates_are_what_pruning_takes_and_reaches(network: Any) -> None:
    _, model = network("lenet5_tenth")
    curves, _ = sensitivity(model, judged_by_itself(model), weight_units(model)[0])
    rates = rates_for(curves, 0.1)
    pruning = WeightPruning(None, Magnitude(), scope=PerLayerRates(rates), until=0.0)
    pruning.prepare(model)
    for name, weight in prunable(model).items():
        assert sparsity({name: weight}) == pytest.approx(rates[name], abs=0.51 / weight.numel())
    assert len(set(rates.values())) > 1


# --- on data


@pytest.fixture(scope="module")
def data() -> DataModule:
    return DataModule("digits", digits, batch_size=64, val_fraction=0.3, eval_batch_size=100)


@pytest.fixture(scope="module")
def trained(data: DataModule, network: Any) -> nn.Module:
    """Half a second of digits."""
    _, model = network("lenet5_tenth")
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for epoch in range(4):
        for batch in data.train_dataloader().at(epoch):
            optimizer.zero_grad()
            F.cross_entropy(model(batch.image), batch.target).backward()
            optimizer.step()
    return model.eval()


def test_validation_images_stand_for_all_classes_and_none_is_of_training(data: DataModule) -> None:
    batches = validation(data, 250, torch.device("cpu"))
    assert [len(b.image) for b in batches] == [100, 100, 50]
    assert torch.cat([b.target for b in batches]).bincount().tolist() == pytest.approx(
        [25] * 10, abs=2
    )
    whole = torch.cat([batch.image for batch in data.val_dataloader()])
    targets = torch.cat([batch.target for batch in data.val_dataloader()])
    for batch in batches:
        assert torch.equal(whole[batch.index], batch.image)
        assert torch.equal(targets[batch.index], batch.target)
    assert sum(len(b.image) for b in validation(data, 10**6, torch.device("cpu"))) == len(whole)


@pytest.mark.parametrize("granularity", ["weights", "channels"])
def test_a_trained_network_is_analysed(
    data: DataModule, trained: nn.Module, granularity: str
) -> None:
    before = bits(trained)
    result = analyse(trained, data, granularity, rates=(0.3, 0.6, 0.9), images=200)
    assert bits(trained) == before
    assert json.loads(json.dumps(result)) == result
    assert (result["granularity"], result["images"]) == (granularity, 200)
    curves = [Curve(**c) for c in result["curves"]]
    names = [*prunable(trained)]
    assert [c.unit for c in curves] + list(result["left"]) == names
    with torch.no_grad():
        base = evaluator(validation(data, 200, torch.device("cpu")), data.task)(trained)
    assert all((c.accuracy[0], c.loss[0]) == base for c in curves)
    assert base.accuracy > 0.8
    assert all(c.accuracy[-1] < base.accuracy - 0.02 for c in curves)
    assert all(c.loss[0] < c.loss[-1] for c in curves)


def test_bad_settings_of_an_analysis_are_refused(data: DataModule, trained: nn.Module) -> None:
    with pytest.raises(ConfigError, match="granularity=weight: .*did you mean weights"):
        analyse(trained, data, "weight")
    with pytest.raises(ConfigError, match="images=0"):
        analyse(trained, data, images=0)
    none = DataModule("digits", digits, batch_size=64, val_fraction=0.0)
    with pytest.raises(ConfigError, match="a validation part"):
        analyse(trained, none)


def test_labels_count_one_by_one() -> None:
    """3 of 4 answers right over both labels; the loss is the mean binary cross-entropy."""
    index = torch.arange(2)
    batch = Batch(torch.zeros(2, 1, 1, 1), torch.tensor([[1.0, 0.0], [1.0, 1.0]]), index)
    logits = torch.tensor([[2.0, -1.0], [-3.0, 1.0]])
    score = evaluator([batch], Multilabel(2))(lambda _: logits)  # type: ignore[arg-type]
    losses = [np.log1p(np.exp(-z)) for z in (2.0, 1.0, -3.0, 1.0)]
    assert score == (0.75, pytest.approx(np.mean(losses), rel=1e-6))


# --- what people look at


def result_of(count: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    rates = [0, *RATES]
    falls = [np.sort(rng.uniform(0, s, len(RATES))) for s in np.linspace(0.6, 0.005, count)]
    curves = [
        {"unit": f"layer{i}", "layers": [f"layer{i}"], "size": 100 * (i + 1), "rates": rates}
        | {"accuracy": [0.9, *(0.9 - fall).tolist()], "loss": [0.1] * len(rates)}
        for i, fall in enumerate(falls)
    ]
    curves[0]["layers"] = ["layer0", "shortcut"]
    left = {"fc": "its channels are the network's outputs"}
    return {"granularity": "channels", "images": 1234, "curves": curves, "left": left}


def test_the_table_is_ranked_and_names_what_was_left_out() -> None:
    result = result_of(3)
    result["curves"][1]["rates"] = [rate + 0.04 * (rate == 0.5) for rate in [0, *RATES]]
    lines = report.markdown(result, 0.02).splitlines()
    assert [c.strip() for c in lines[0].strip("|").split("|")] == [
        "pruned alone", "channels", "mean drop", "2 points lost at", "30%", "50%", "70%", "90%",
    ]  # fmt: skip
    curves = report.curves_of(result)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:5]]
    assert [row[0] for row in rows] == ["layer0", "layer1", "layer2"]
    assert rows[0][1:4] == [
        "100",
        f"{100 * curves[0].mean_drop:.2f}",
        f"{100 * curves[0].rate_within(0.02):.0f} %",
    ]
    assert rows[0][5] == f"{100 * curves[0].accuracy[5]:.2f}"
    assert rows[1][5] == "", "measured at 54 %, which is not 50 %"
    assert rows[2][3] == "beyond 95 %"
    assert lines[6:] == [
        "- accuracy 90.00 % as it is, on 1,234 validation images; accuracies and drops in points",
        "- layer0: together with shortcut",
        "- fc not measured: its channels are the network's outputs",
    ]


def test_few_curves_are_drawn_as_the_lines_that_were_measured() -> None:
    curves = report.curves_of(result_of(3))
    axes: Any = draw(curves, "net", "weights", 10, 0.01).axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    for c in curves:
        np.testing.assert_allclose(lines[c.unit].get_xdata(), 100 * np.array(c.rates))
        np.testing.assert_allclose(lines[c.unit].get_ydata(), 100 * np.array(c.accuracy))
    looks = {(line.get_color(), line.get_marker()) for line in lines.values()}
    assert len(looks) == len(lines)
    many = draw(report.curves_of(result_of(10)), "net", "weights", 10, 0.01).axes[0].get_lines()
    assert len({(line.get_color(), line.get_marker()) for line in many}) == 11


def test_many_curves_are_drawn_as_strips_in_the_networks_order() -> None:
    curves = report.curves_of(result_of(14))
    axes: Any = draw(curves, "net", "weights", 10, 0.01).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [c.unit for c in curves]
    strips = [mesh for mesh in axes.collections if mesh.get_array() is not None]
    for strip, c in zip(strips, curves, strict=True):
        np.testing.assert_allclose(np.ravel(strip.get_array()), 100 * np.array(c.drops))
    marks = [float(line.get_xdata()[0]) for line in axes.get_lines()]
    assert marks == pytest.approx([100 * c.rate_within(0.01) for c in curves if c.passes(0.01)])
    assert len(marks) < 14


def test_the_files_hold_what_was_measured_and_are_the_same_each_time(tmp_path: Path) -> None:
    result = result_of(14)
    files = report.write(result, tmp_path / "a", "net", 0.02)
    again = report.write(result, tmp_path / "b", "net", 0.02)
    assert {path.suffix for path in files} == {".png", ".svg", ".md", ".json"}
    for one, other in zip(files, again, strict=True):
        assert one.read_bytes() == other.read_bytes()
    stored = json.loads((tmp_path / "a/sensitivity.json").read_text())
    assert stored.pop("max_drop") == 0.02
    assert stored.pop("rates") == rates_for(report.curves_of(result), 0.02)
    assert stored == result
    assert (tmp_path / "a/sensitivity.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_measured_is_said_with_its_reasons(tmp_path: Path) -> None:
    empty = {**result_of(2), "curves": []}
    with pytest.raises(CondenserError, match=r"no layer could be measured \(fc: its channels"):
        report.write(empty, tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(CondenserError, match="cannot write the report"):
        report.write(result_of(2), tmp_path / "file" / "folder")


def test_points_are_words() -> None:
    assert [points(d) for d in (0.01, 0.005, 0.02)] == ["1 point", "0.5 points", "2 points"]
