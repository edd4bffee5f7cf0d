"""Several teachers, chains of them, peers, and teachers that see images in their own way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from running import config_of, run_in
from torch import Tensor, nn

from condenser import models
from condenser.checkpoint import model_spec
from condenser.checkpoint.input_adapter import InputAdapter, adapter
from condenser.checkpoint.model_spec import ModelSpec
from condenser.distill.ensemble import Ensemble, learned_weights
from condenser.errors import CondenserError, ConfigError
from condenser.pipeline.plan import expand, make_plan
from condenser.tasks import Binary, Multiclass

GREY, COLOUR = [[0.5], [0.25]], [[0.4, 0.5, 0.6], [0.2, 0.25, 0.3]]


class Says(nn.Module):
    """A teacher that says the same of everything."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.tensor([logits])

    def forward(self, image: Tensor) -> Tensor:
        return self.logits.expand(len(image), -1)


IMAGE = torch.zeros(3, 1, 2, 2)


def test_a_committee_adds_weighted_logits() -> None:
    both = Ensemble([Says(1.0, 3.0), Says(5.0, -1.0)], [0.75, 0.25])
    torch.testing.assert_close(both(IMAGE), torch.tensor([[2.0, 2.0]]).expand(3, -1))


def test_a_random_committee_lets_each_speak_for_whole_batches() -> None:
    both = Ensemble([Says(1.0), Says(2.0)], None)
    torch.manual_seed(0)
    said = [both(IMAGE).flatten().tolist() for _ in range(200)]
    assert {tuple(words) for words in said} == {(1.0, 1.0, 1.0), (2.0, 2.0, 2.0)}
    assert 60 < sum(words[0] == 1.0 for words in said) < 140


def test_learned_weights_find_the_teacher_that_knows() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(4, (400,), generator=generator)
    noise = torch.randn(2, 400, 4, generator=generator)
    knows = 2 * nn.functional.one_hot(target, 4) + noise[0]
    weights = learned_weights(torch.stack([noise[1], knows]), target, Multiclass(4))
    assert sum(weights) == pytest.approx(1) and weights[1] > 0.95
    # the minimum itself: no other weight has a lower loss
    at = [loss_at(w / 100, noise[1], knows, target) for w in range(101)]
    assert loss_at(weights[1], noise[1], knows, target) <= min(at) + 1e-6


def loss_at(weight: float, a: Tensor, b: Tensor, target: Tensor) -> float:
    return float(nn.functional.cross_entropy((1 - weight) * a + weight * b, target))


def test_learned_weights_of_a_binary_task_split_between_equals() -> None:
    logits = torch.randn(50, 1, generator=torch.Generator().manual_seed(1))
    target = (logits > 0).float()
    weights = learned_weights(torch.stack([logits, logits]), target, Binary(1))
    assert weights == pytest.approx([0.5, 0.5])


def test_a_lens_shows_what_the_network_was_trained_on() -> None:
    pixels = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    shown = (pixels - 0.5) / 0.25
    seen = InputAdapter([1, 8, 8], [[0.1], [0.3]], GREY).image(shown)
    torch.testing.assert_close(seen, (pixels - 0.1) / 0.3)


def test_a_lens_resizes_and_colours() -> None:
    flat = torch.full((1, 1, 4, 4), (0.7 - 0.5) / 0.25)
    seen = InputAdapter([3, 6, 8], COLOUR, GREY).image(flat)
    assert seen.shape == (1, 3, 6, 8)
    wanted = [(0.7 - mean) / std for mean, std in zip(*COLOUR, strict=True)]
    torch.testing.assert_close(seen[0, :, 2, 3], torch.tensor(wanted))
    grey = InputAdapter([1, 4, 4], GREY, COLOUR).image(torch.zeros(1, 3, 4, 4))
    torch.testing.assert_close(grey, torch.full((1, 1, 4, 4), (0.5 - 0.5) / 0.25))


def test_no_lens_where_the_data_are_as_the_network_knows_them() -> None:
    assert adapter((1, 8, 8), ([0.5], [0.25]), (1, 8, 8), (GREY[0], GREY[1])) == ()
    assert len(adapter((1, 8, 8), ([0.5], [0.25]), (1, 8, 8), ([0.5], [0.3]))) == 1


def test_a_network_keeps_its_lens_in_its_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    architecture = {"_target_": "condenser.models.MLP", "widths": [5]}
    made = ModelSpec(architecture, (3, 6, 6), 4, normalisation=(COLOUR[0], COLOUR[1]))
    seeing = made.then(adapter((3, 6, 6), (COLOUR[0], COLOUR[1]), (1, 8, 8), (GREY[0], GREY[1])))
    model, image = seeing.build().eval(), torch.randn(2, 1, 8, 8)
    model_spec.save(tmp_path, seeing, model)
    found, again = model_spec.load(tmp_path)
    assert torch.equal(again(image), model(image))
    assert found.normalisation == COLOUR
    bare = models.build(architecture, (3, 6, 6), 4)
    bare.load_state_dict(model.state_dict())
    seen = InputAdapter([3, 6, 6], COLOUR, GREY).image(image)
    torch.testing.assert_close(bare(seen), model(image))


def planned(*stages: Any, **sections: Any) -> list[Any]:
    config = config_of()
    return list(make_plan({**config, **sections, "recipe": {"stages": list(stages)}}).stages)


def who_teaches(stages: list[Any]) -> list[list[int]]:
    return [[teacher.position for teacher in stage.teachers] for stage in stages]


def test_who_teaches_is_a_choice() -> None:
    seeds: list[Any] = [{"teacher": {"seed": 0}}, {"teacher": {"seed": 1}}]
    assert who_teaches(planned(*seeds, "distill", "prune")) == [[], [0], [0, 1], [0, 1]]
    chain = planned("teacher", "distill", {"distill": {"teachers": "previous"}})
    assert who_teaches(chain) == [[], [0], [1]]
    chosen = planned(*seeds, {"distill": {"teachers": [1]}})
    assert who_teaches(chosen) == [[], [0], [1]]
    dense = planned("student", "prune", {"prune": {"teachers": "dense"}})
    assert who_teaches(dense) == [[], [], [0]]
    assert [stage.uses_teacher for stage in dense] == [False, False, True]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (["teacher", {"distill": {"teachers": [1]}}], r"teachers=\[1\]: .* before this one"),
        ([{"distill": {"teachers": "previous"}}], "distill.teachers=previous: must be"),
        (["teacher", {"distill": {"ensemble": [1.0]}, "times": 0}], r"times=0: .* at least 1"),
        (["teacher", {"distill": {}, "until": 98}], r"until=98: .* at most 1"),
        (
            ["student", {"distill": {"teachers": "peer", "inherit": {"_target_": "a.B"}}}],
            "distill.inherit=.* null where there is not one teacher",
        ),
    ],
    ids=str,
)
def test_teachers_that_are_not_there_are_refused(stages: list[Any], message: str) -> None:
    with pytest.raises(CondenserError, match=message):
        planned(*stages)


def test_times_repeats_an_entry() -> None:
    entries = ["teacher", {"tune": {}, "times": 2, "until": 0.9}, "export"]
    once = {"tune": {}, "until": 0.9}
    assert list(expand(entries)) == ["teacher", once, once, "export"]


def test_weights_for_ensembles_must_be_as_many_as_teachers(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"distill.ensemble=\[0.5\]: .* 2 teachers"):
        run_in(tmp_path, "recipe=[teacher,{teacher:{seed:1}},{distill:{ensemble:[0.5]}}]")


def test_features_of_several_teachers_are_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="on logits where there are several teachers"):
        run_in(tmp_path, "recipe=[teacher,{teacher:{seed:1}},distill]", "distill=fitnet")
    assert not list(tmp_path.glob("**/records.jsonl"))


@pytest.mark.parametrize("ensemble", ["mean", "random", "learned", "[0.25,0.75]"])
def test_an_ensemble_teaches(tmp_path: Path, ensemble: str) -> None:
    recipe = f"recipe=[teacher,{{teacher:{{seed:1}}}},{{distill:{{ensemble:{ensemble}}}}}]"
    words = ("model@student.model=mlp_64", "optim.epochs=6", "data.limit=1000")
    *teachers, student = run_in(tmp_path, recipe, *words)
    assert student["teacher"] == "+".join(str(teacher["key"]) for teacher in teachers)
    assert isinstance(student["test/accuracy"], float) and student["test/accuracy"] > 0.7
    assert isinstance(student["teacher/agreement"], float) and student["teacher/agreement"] > 0.7
    again = run_in(tmp_path, recipe, *words, run="again")
    assert [record["cost/reused"] for record in again] == [True, True, True]


def test_an_assistant_stands_between(tmp_path: Path) -> None:
    recipe = "recipe=[teacher,{distill:{model:mlp_64}},{distill:{teachers:previous}}]"
    records = run_in(tmp_path, recipe)
    assert [record["model"] for record in records] == ["mlp_128", "mlp_64", "mlp_32"]
    assert records[2]["teacher"] == records[1]["key"]


def test_an_unknown_model_in_a_recipe_is_named() -> None:
    with pytest.raises(CondenserError, match=r"stages\[1\].distill.model=mlp_46: .*mean mlp_64"):
        config_of("recipe=[teacher,{distill:{model:mlp_46}}]")


def test_peers_learn_together_and_one_is_kept(tmp_path: Path) -> None:
    words = ("recipe=mutual", "model@teacher.model=mlp_64", "optim.epochs=6", "data.limit=1000")
    alone, mutual = run_in(tmp_path, *words)
    assert mutual["model"] == alone["model"] == "mlp_32"
    assert mutual["size/params"] == alone["size/params"]  # the peer is no part of it
    assert isinstance(mutual["test/accuracy"], float) and mutual["test/accuracy"] > 0.6
    assert mutual["key"] != alone["key"]
    assert isinstance(mutual["distill/peer_accuracy"], float)
    assert mutual["distill/peer_accuracy"] > 0.6


def test_each_generation_draws_weights_of_its_own() -> None:
    stages = make_plan(config_of("recipe=born_again")).stages
    assert [stage.generation for stage in stages[1:]] == [1, 2, 3]  # type: ignore[attr-defined]
    assert len({stage.first for stage in stages}) == 4
    assert {stage.seed for stage in stages} == {0}
    _, student, distilled = make_plan(config_of("recipe=distill")).stages
    assert student.first == distilled.first == 0


def test_training_stops_when_validation_is_content(tmp_path: Path) -> None:
    recipe = "recipe=[student,{tune:{},times:9,until:0.5},export]"
    stages = [str(record["stage"]) for record in run_in(tmp_path, recipe)]
    assert stages[0] == "student" and stages[-1] == "export"
    assert stages.count("tune") < 9
    all_of_it = run_in(tmp_path, "recipe=[student,{tune:{},times:2,until:1.0}]", run="all")
    assert [record["stage"] for record in all_of_it] == ["student", "tune", "tune"]
    assert all_of_it[2]["parent"] == all_of_it[1]["key"]


def test_a_teacher_may_see_its_own_images(tmp_path: Path) -> None:
    words = ("teacher.input.size=16", "teacher.input.mean=[0.5]", "teacher.input.std=[0.25]")
    own = ("model@teacher.model=lenet5_tenth", "recipe=[teacher,distill,export]")
    teacher, student, _ = run_in(tmp_path, *words, *own)
    folder = tmp_path / ".store" / f"teacher-{teacher['key']}"
    found, model = model_spec.load(folder)
    assert found.input_shape == (1, 16, 16)
    assert model(torch.randn(2, 1, 8, 8)).shape == (2, 10)
    assert student["teacher"] == teacher["key"]


def test_a_lens_is_in_the_exported_file(tmp_path: Path) -> None:
    words = ("teacher.input.size=16", "model@teacher.model=lenet5_tenth", "recipe=[teacher,export]")
    _, file = run_in(tmp_path, *words)
    assert file["export/agreement"] == 1.0
    assert isinstance(file["export/max_difference"], float) and file["export/max_difference"] < 1e-4


def test_a_ready_made_teacher_is_taken_as_it_is(tmp_path: Path) -> None:
    first = run_in(tmp_path, "recipe=[teacher]", run="made")
    load = f"teacher.load={tmp_path}/default/made"
    again, student = run_in(tmp_path, load, "recipe=[teacher,distill]", run="used")
    assert again["test/accuracy"] == first[0]["test/accuracy"]
    assert again["cost/train_seconds"] is None
    assert student["teacher"] == again["key"]


def test_a_teacher_of_another_task_teaches_by_its_features(tmp_path: Path) -> None:
    run_in(tmp_path, "recipe=[teacher]", "data.limit=300", run="made")
    words = (
        f"teacher.load={tmp_path}/default/made",
        "recipe=[teacher,distill]",
        "data=synthetic",
        "data.source.num_classes=4",
        "data.source.shape=[1,12,12]",
        "data.limit=1000",
        "optim.epochs=10",
    )
    with pytest.raises(ConfigError, match="with 4 outputs, .*; it has 10"):
        run_in(tmp_path, *words, run="logits")
    teacher, student = run_in(tmp_path, *words, "distill=fitnet", run="features")
    assert teacher["test/accuracy"] is None
    assert student["teacher/agreement"] is None
    assert isinstance(student["test/accuracy"], float) and student["test/accuracy"] > 0.5


def test_a_teacher_that_is_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="teacher.load=.*a folder with a model.json"):
        run_in(tmp_path, f"teacher.load={tmp_path}/none", "recipe=[teacher]")
