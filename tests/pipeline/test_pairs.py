"""What the table of pairs says of two stages on one network is what happens with the weights."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from places import CONF
from running import config_of
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from condenser.checkpoint.model_spec import ModelSpec, load, save, violations
from condenser.compress import (
    CalibrationData,
    Compression,
    CutChannels,
    Factorization,
    KMeansSharing,
    Merging,
    PostTraining,
    QuantizationAware,
    SparseTraining,
    WeightPruning,
)
from condenser.config.instantiate import build
from condenser.errors import CondenserError, ConfigError
from condenser.pipeline.plan import make_plan
from condenser.pipeline.stages import find, pairs
from condenser.pipeline.stages.training import own, revive

NETWORKS = ("mlp_32", "lenet5", "resnet8_thin", "transformer")
STAGES: dict[str, list[str]] = {
    "prune": ["prune=magnitude_per_layer", "prune.rate=0.4"],
    "regrow": ["prune=rigl", "prune.rate=0.4", "prune.until=0.5"],
    "rewind": ["prune=lottery_ticket", "prune.rate=0.4"],
    "sparse": ["sparse.strength=1e-4"],
    "cut": ["cut=l1_per_layer", "cut.rate=0.4"],
    "merge": ["merge.rate=0.4"],
    "factorize": ["factorize.params=0.8", "factorize.convolutions=svd"],
    "share": ["share.bits=3"],
    "across": ["share=across", "share.bits=4"],
    "quantize": ["quantize=weights"],
    "mixed": ["quantize=weights", "quantize.budget=1200"],
    "tune": [],
    "export": [],
}
WORDS = {"regrow": "prune", "rewind": "prune", "across": "share"} | {"mixed": "quantize"}
ACTING = [kind for kind in STAGES if kind not in ("tune", "export")]


def section(kind: str) -> dict[str, Any]:
    word = WORDS.get(kind, kind)
    return config_of("logger=csv", *STAGES[kind])[word]


@pytest.fixture(scope="module")
def sections() -> dict[str, dict[str, Any]]:
    return {kind: section(kind) for kind in STAGES}


@pytest.fixture(scope="module")
def starts() -> dict[str, tuple[ModelSpec, nn.Module]]:
    found = {}
    for name in NETWORKS:
        if name == "transformer":
            architecture: Any = {"_target_": "nets.SmallTransformer"}
        else:
            architecture = OmegaConf.to_container(OmegaConf.load(CONF / f"model/{name}.yaml"))
        torch.manual_seed(0)
        spec = ModelSpec(architecture, (1, 8, 8), 10)
        found[name] = spec, spec.build(["nets.SmallTransformer"]).eval()
    return found


IMAGES = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(1))
TARGETS = torch.arange(64) % 10


class Bench:
    trusted = ("nets.SmallTransformer",)


def stage(
    settings: dict[str, Any], spec: ModelSpec, model: nn.Module, epochs: int, folder: Path
) -> tuple[Compression, ModelSpec, nn.Module]:
    """What a stage does to a network, in the order of ``TrainingStage.run`` and ``Student.learn``;
    the model as it is read back from the store."""
    torch.manual_seed(0)
    origin = ModelSpec(spec.architecture, (1, 8, 8), 10)
    calibration = CalibrationData(
        lambda n: [(IMAGES[:n], TARGETS[:n])],
        cross_entropy,
        lambda: (torch.manual_seed(0), origin.build(Bench.trusted).state_dict())[1],
        spec.operations,
    )
    model = copy.deepcopy(model).requires_grad_(True)
    compression = build(own(settings))
    compression.prepare(model, calibration)
    if epochs and compression.trains:
        held = spec.constraints(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        model.train()
        for step in range(6):
            optimizer.zero_grad()
            cross_entropy(model(IMAGES), TARGETS).backward()
            optimizer.step()
            for project in held:
                project()
            compression.step((step + 1) / 6)
    else:
        compression.at_once()
    state = compression.kept(model, model.state_dict())
    made = spec.then(compression.finish())
    folder.mkdir(exist_ok=True)
    save(folder, made, revive(made, state, Bench))  # type: ignore[arg-type]
    return compression, *load(folder, Bench.trusted)


def broken(compression: Compression, model: nn.Module) -> list[str]:
    found = []
    for promise in compression.promises():
        with torch.no_grad():
            amount = float(promise.read(model, IMAGES[:1]))
        if not promise.kept(amount):
            found.append(promise.broken(amount))
    return found


def zeros(model: nn.Module, layers: list[str]) -> dict[str, Tensor]:
    own = dict(model.named_parameters())
    return {n: own[f"{n}.weight"] == 0 for n in layers if f"{n}.weight" in own}


def few(model: nn.Module, layers: list[str]) -> dict[str, int]:
    own = dict(model.named_parameters())
    found = {n: own[f"{n}.weight"] for n in layers if f"{n}.weight" in own}
    return {n: int(w[w != 0].unique().numel()) for n, w in found.items()}


TRAINED = [
    pytest.param(network, epochs, marks=[pytest.mark.fuzz] if (place + epochs) % 2 else [])
    for place, network in enumerate(NETWORKS)
    for epochs in (0, 1)
]


@pytest.mark.parametrize(("network", "epochs"), TRAINED)
@pytest.mark.parametrize("earlier", ACTING)
def test_what_the_table_says_is_what_happens(
    earlier: str, network: str, epochs: int, sections: Any, starts: Any, tmp_path: Path
) -> None:
    if earlier in ("quantize", "mixed"):
        return  # nothing that changes weights follows
    spec, model = starts[network]
    try:
        first, one, start = stage(sections[earlier], spec, model, epochs, tmp_path / "one")
    except ConfigError as error:  # merging finds no chain here
        assert (earlier, network) in {("merge", "resnet8_thin"), ("merge", "transformer")}, error
        return
    if epochs or not first.by_training:
        assert not broken(first, start), network
    for later in ACTING:
        verdict = pairs.verdict(earlier, later)
        if verdict not in ("kept", "apart"):
            continue
        try:
            second, two, end = stage(sections[later], one, start, epochs, tmp_path / "two")
        except ConfigError as error:
            refused(earlier, later, network, verdict, str(error))
            continue
        if epochs or not second.by_training:
            assert not broken(second, end), (later, network)
        check_structure(first, start, one, end, two, later)


def refused(earlier: str, later: str, network: str, verdict: str, said: str) -> None:
    """Only what has no layers to work on, or none that are not the earlier one's."""
    if verdict == "apart":
        assert "factorize.exclude" in said and "a product would not keep" in said
    else:
        assert "merge" in said or "factorize.params" in said or "quantize.budget" in said, (
            earlier,
            later,
            network,
            said,
        )


def check_structure(
    first: Compression, start: nn.Module, one: ModelSpec, end: nn.Module, two: ModelSpec, later: str
) -> None:
    """Zeros, values, shapes of the earlier stage, read from the weights of the later one's."""
    again = copy.deepcopy(start)
    assert violations(one, again, two, end) == {}, later
    layers = list(first.reached or ())
    if isinstance(first, WeightPruning):
        before, after = zeros(again, layers), zeros(end, layers)
        assert before.keys() == after.keys()
        for name, mask in before.items():
            assert after[name].shape == mask.shape and bool(after[name][mask].all()), (later, name)
    if isinstance(first, KMeansSharing):
        assert max(few(end, layers).values()) <= 2**first.bits, later
    if isinstance(first, CutChannels | Merging):
        now = {n: p.numel() for n, p in end.named_parameters()}
        was = {n: p.numel() for n, p in start.named_parameters()}
        assert all(now[n] <= size for n, size in was.items() if n in now), later
    if isinstance(first, Factorization):
        for name, plan in first.layers.items():
            ranks = [len(part.weight) for part in end.get_submodule(name).children()][:-1]
            assert sum(ranks) <= sum(plan["ranks"]), (later, name)


def test_the_table_is_whole_and_its_reasons_are_used() -> None:
    assert set(pairs.PAIRS) | {"budget"} == {k for row in pairs.PAIRS.values() for k in row}
    letters = {v for row in pairs.PAIRS.values() for v in row.values()} - {"kept", "apart"}
    assert letters == set(pairs.REASONS)
    assert set(STAGES) == set(pairs.PAIRS)


@pytest.mark.parametrize("kind", STAGES)
def test_a_stage_knows_its_place_in_the_table(kind: str, sections: Any) -> None:
    word = WORDS.get(kind, kind)
    assert find(word, "recipe", {})({word: sections[kind]}, 0).row == kind
    if kind in ACTING:
        built = build(own(sections[kind]))
        assert built.kind in ("", kind) and isinstance(
            built, Compression | PostTraining | QuantizationAware | SparseTraining
        )


@pytest.mark.parametrize("earlier", [*ACTING, "tune"])
@pytest.mark.parametrize("later", [*ACTING, "tune"])
def test_the_plan_refuses_what_the_table_does(earlier: str, later: str, sections: Any) -> None:
    config = config_of("recipe=[teacher]")
    entries = [{WORDS.get(kind, kind): sections[kind]} for kind in (earlier, later)]
    config["recipe"] = {"stages": ["teacher", *entries]}
    reason = pairs.refusal(earlier, later, WORDS.get(earlier, earlier))
    if not reason:
        assert len(make_plan(config).stages) == 3
        return
    with pytest.raises(CondenserError) as error:
        make_plan(config)
    assert str(error.value) == f"recipe.stages[2]={WORDS.get(later, later)}: {reason}"


class Rounded(WeightPruning):
    kind = "quantize"


class Odd(WeightPruning):
    kind = "quantise"


def test_a_class_of_ones_own_says_what_it_leaves() -> None:
    mine = {"prune": {"_target_": "test_pairs.Rounded", "rate": 0.5}}
    config = config_of("recipe=[teacher]")
    config["recipe"] = {"stages": ["teacher", mine, "tune"]}
    with pytest.raises(CondenserError, match=r"stages\[2\]=tune: trains a quantised model"):
        make_plan(config)
    config["recipe"] = {"stages": ["teacher", {"prune": {"_target_": "test_pairs.Odd"}}]}
    with pytest.raises(ConfigError, match="kind=quantise: unknown; did you mean quantize"):
        make_plan(config)
