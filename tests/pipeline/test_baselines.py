"""Baselines: what a smaller network must beat, and structure that every later stage keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from running import run_in
from torch import nn

from condenser.checkpoint.model_spec import load, violations
from condenser.errors import CondenserError
from condenser.pipeline.plan import make_plan
from condenser.runs.records import Record, final

LENET = "model@teacher.model=lenet5"
PARTS = ("conv1", "conv2", "fc1", "fc2")


def by_kind(records: list[Record]) -> dict[str, list[Record]]:
    kinds: dict[str, list[Record]] = {}
    for record in records:
        kinds.setdefault(str(record.get("baseline/kind")), []).append(record)
    return kinds


def network(folder: Path, record: Record) -> nn.Module:
    return load(folder / ".store" / f"{record['stage']}-{record['key']}")[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("baselines")


@pytest.fixture(scope="module")
def records(folder: Path) -> list[Record]:
    own = "recipe=[teacher,{prune:{rate:0.6}},cut,share]"
    return run_in(folder, own, LENET, "baselines=true", "cut.rate=0.25", "optim.epochs=2")


def test_baselines_come_after_the_recipe(records: list[Record]) -> None:
    words = [r["stage"] for r in records]
    assert words[:4] == ["teacher", "prune", "cut", "share"]
    assert final(records)["stage"] == "share"
    found = [(r["baseline/of"], r["baseline/kind"]) for r in records[4:]]
    assert found == [
        *(("prune", kind) for kind in ("random", "scratch", "dense")),
        *(("cut", kind) for kind in ("random", "scratch", "compute", "dense")),
        ("share", "dense"),
    ]
    assert [r["position"] for r in records] == list(range(len(records)))


def test_what_goes_at_random_is_as_much_of_every_layer(folder: Path, records: list[Record]) -> None:
    pruned, cut = records[1], records[2]
    masked, narrow = by_kind(records)["random"]
    for layer in PARTS:
        assert masked[f"gone/{layer}"] == pruned[f"gone/{layer}"]
    other, mine = network(folder, masked).state_dict(), network(folder, pruned).state_dict()
    assert (other["fc1.weight"] != 0).ne(mine["fc1.weight"] != 0).any()
    for key in ("size/params", "compute/macs"):
        assert narrow[key] == cut[key]
    shapes = {n: t.shape for n, t in network(folder, cut).state_dict().items()}
    assert shapes == {n: t.shape for n, t in network(folder, narrow).state_dict().items()}


def test_from_scratch_is_the_same_network_for_as_long(folder: Path, records: list[Record]) -> None:
    pruned, cut = records[1], records[2]
    masked, narrow = by_kind(records)["scratch"]
    (longer,) = by_kind(records)["compute"]
    assert (masked["cost/epochs"], narrow["cost/epochs"]) == (4, 6)
    state, mine = (network(folder, r).state_dict() for r in (masked, pruned))
    for layer in PARTS:
        zeros, own = (s[f"{layer}.weight"] == 0 for s in (mine, state))
        assert torch.equal(zeros, own)
    assert masked["parent"] is None
    spent = sum(int(str(r["cost/epochs"])) * int(str(r["compute/macs"])) for r in records[:3])
    assert longer["cost/epochs"] == round(spent / int(str(cut["compute/macs"])))
    assert longer["size/params"] == narrow["size/params"] == cut["size/params"]


def test_the_dense_network_trains_on(folder: Path, records: list[Record]) -> None:
    first, second, third = by_kind(records)["dense"]
    assert first["parent"] == records[0]["key"]
    assert first["size/nonzero"] > 0.99 * first["size/params"]  # type: ignore[operator]
    assert second["gone/fc1"] == records[1]["gone/fc1"]  # zeros that were there stay
    assert third["size/distinct"] > records[3]["size/distinct"]  # type: ignore[operator]


def test_another_rate_has_the_same_dense_baseline(folder: Path, records: list[Record]) -> None:
    own = "recipe=[teacher,{prune:{rate:0.7}}]"
    again = run_in(folder, own, LENET, "baselines=[dense]", "optim.epochs=2")
    assert again[2]["cost/reused"] and again[2]["key"] == by_kind(records)["dense"][0]["key"]


def test_a_control_that_has_no_meaning_is_refused_before_training(tmp_path: Path) -> None:
    l1 = "{_target_:condenser.compress.masks.penalties.L1}"
    other = f"{{_target_:condenser.compress.SparseTraining,strength:1e-5,penalty:{l1}}}"
    own = (f"recipe=[teacher,{{prune:{other}}}]", "baselines=[random]")
    with pytest.raises(CondenserError, match="baselines=random: must be baselines without it"):
        run_in(tmp_path, *own)
    assert not list(tmp_path.glob(".store/teacher-*"))


def test_merged_neurons_are_compared_with_as_many_cut(tmp_path: Path) -> None:
    merged = run_in(tmp_path, "recipe=[teacher,merge]", LENET, "baselines=[random]")
    assert merged[2]["size/params"] == merged[1]["size/params"]
    assert merged[2]["key"] != merged[1]["key"]


def test_what_is_gone_is_said_layer_by_layer(records: list[Record]) -> None:
    assert not any(key.startswith("gone/") for key in records[0])
    shares = [records[1][f"gone/{layer}"] for layer in PARTS]
    assert all(isinstance(share, float) and 0 <= share < 1 for share in shares)
    left = sum(int(str(records[3][f"size/{k}"])) for k in ("nonzero",))
    assert left > int(str(records[3]["size/distinct"])) > 0


def test_undone_structure_is_noticed(folder: Path, records: list[Record]) -> None:
    place = folder / ".store" / f"share-{records[3]['key']}"
    source, start = load(place)
    _, end = load(place)
    assert violations(source, start, source, end) == {}
    with torch.no_grad():
        weight = end.get_parameter("conv2.weight")
        weight[weight == 0] = 1.0
        weight = end.get_parameter("fc1.weight")
        one = weight[weight != 0].mode().values
        weight.view(-1)[(weight == one).flatten().nonzero()[0]] += 1e-3
    torn = violations(source, start, source, end)
    assert torn["conv2.weight"] == "Sparse" and torn["fc1.weight"] == "Shared"


def test_a_stage_that_undoes_what_was_made_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from condenser.compress import Sparse

    monkeypatch.setattr(Sparse, "constraint", lambda *_: None)
    own = "recipe=[teacher,prune,tune]"
    with pytest.raises(CondenserError, match=r"2-tune undid .* fc1.weight \(Sparse\)"):
        run_in(tmp_path, own)


def test_plans_number_controls_after_the_recipe() -> None:
    from running import config_of

    stages = make_plan(config_of("recipe=[teacher,prune]", "baselines=[dense,random]")).stages
    assert [(s.position, s.label) for s in stages[2:]] == [
        (2, "1-prune-random"),
        (3, "1-prune-dense"),
    ]
