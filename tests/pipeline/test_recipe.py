"""A recipe: its order, what each entry overrides, and what decides a stage's key."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from running import config_of

from condenser.errors import CondenserError
from condenser.pipeline.plan import PLAIN, make_plan, merge
from condenser.pipeline.stages import Stage, find, words


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return config_of()


def planned(config: dict[str, Any], *stages: Any, **sections: Any) -> list[Stage]:
    return list(make_plan({**config, **sections, "recipe": {"stages": list(stages)}}).stages)


def test_stages_come_in_order_and_know_their_place(config: dict[str, Any]) -> None:
    order = ["student", "teacher", "distill", "prune", "prune", "quantize", "export"]
    stages = planned(config, *order)
    assert [stage.word for stage in stages] == order
    assert [stage.position for stage in stages] == list(range(7))
    assert [stage.position for s in stages for stage in s.teachers] == [1] * 5
    assert [stage.uses_teacher for stage in stages] == [False, False, *[True] * 3, False, False]
    assert stages[3].label == "3-prune"


def test_a_file_in_stages_is_a_word_of_recipes() -> None:
    assert {"teacher", "student", "distill", "prune", "quantize", "export"} <= set(words())
    assert not {"base", "training", "compression"} & set(words())
    assert {find(word, "", {}).word for word in words() if word != "budget"} < set(words())


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (["prune"], r"stages\[0\]=prune: needs a model; put teacher, student or distill before it"),
        (["quantize"], r"stages\[0\]=quantize: needs a model"),
        (["export"], r"stages\[0\]=export: needs a model"),
        (["distill"], r"stages\[0\]=distill: learns from a teacher; put teacher before it"),
        (["student", "distill"], r"stages\[1\]=distill: learns from a teacher"),
        (["teacher", "prun"], r"stages\[1\]=prun: unknown; did you mean prune\?"),
        (["teacher", "sleep"], r"stages\[1\]=sleep: unknown \(choices: budget, cut, distill, "),
        (["teacher", "quantize", "prune"], r"stages\[2\]=prune: trains a quantised model"),
        (["teacher", "quantize", "quantize"], r"stages\[2\]=quantize: .* quantised already"),
        (["teacher", "quantize", "export", "quantize"], r"\[3\]=quantize: .* quantised already"),
        (["teacher", {"prune": {}, "export": {}}], r"stages\[1\]=.*one stage with its overrides"),
        (["teacher", {"prune": 0.5}], r"stages\[1\]=.*one stage with its overrides"),
        (
            ["student", {"prune": {"objective": "distill"}}],
            r"stages\[1\]=prune: learns from a teacher; put teacher before it",
        ),
        (
            ["teacher", {"quantize": {"activation_bits": 4}}, "export"],
            r"quantize.activation_bits=4: must be 8 or null where the recipe goes on with ",
        ),
    ],
    ids=str,
)
def test_orders_that_make_no_sense_are_refused(
    config: dict[str, Any], stages: list[Any], message: str
) -> None:
    with pytest.raises(CondenserError, match=message):
        planned(config, *stages)


@pytest.mark.parametrize(
    "stages",
    [
        ["teacher", "quantize", "distill", "prune", "quantize"],  # of two networks, each once
        ["student", "prune", "quantize", "export"],  # no teacher: learns from labels
        ["teacher", "export", "prune", "export"],
        ["teacher", {"quantize": {"activation_bits": 4}}],
        ["teacher", {"quantize": {"activation_bits": None, "bits": 4}}, "export"],
        ["teacher", {"quantize": {"activation_bits": 4}}, "distill", "export"],
    ],
    ids=str,
)
def test_orders_that_make_sense_are_not(config: dict[str, Any], stages: list[Any]) -> None:
    assert len(planned(config, *stages)) == len(stages)


# --- overrides of one entry


def test_an_entrys_overrides_are_its_own(config: dict[str, Any]) -> None:
    untouched = copy.deepcopy(config)
    first, second, third = planned(
        config,
        "teacher",
        {"prune": {"rate": 0.3, "epochs": 7, "optim": {"optimizer": {"weight_decay": 0}}}},
        "prune",
    )
    assert (second.settings["rate"], third.settings["rate"]) == (0.3, config["prune"]["rate"])
    shared = {key: value for key, value in config["optim"].items() if key not in PLAIN}
    optim = {**shared, "epochs": 7}
    optim["optimizer"] = {**optim["optimizer"], "weight_decay": 0}
    assert second.settings["optim"] == optim
    assert third.settings["optim"] == first.settings["optim"] == shared
    assert config == untouched


def test_a_new_key_within_a_mapping_of_settings_is_refused(config: dict[str, Any]) -> None:
    message = r"recipe.stages\[1\].prune.rat: no such key; did you mean rate\?"
    with pytest.raises(CondenserError, match=message):
        planned(config, "teacher", {"prune": {"rat": 0.3}})
    message = r"recipe.stages\[0\].teacher.epoch: .*; did you mean epochs\?"
    with pytest.raises(CondenserError, match=message):
        planned(config, {"teacher": {"epoch": 3}})


def optim_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The shared training as stages have it: what changes nothing is none of their settings."""
    return {k: v for k, v in config["optim"].items() if PLAIN.get(k, ...) != v}


def test_a_bad_value_in_an_override_names_its_entry(config: dict[str, Any]) -> None:
    message = r"^recipe.stages\[1\].prune.rate=1.5: must be < 1$"
    with pytest.raises(CondenserError, match=message):
        planned(config, "teacher", {"prune": {"rate": 1.5}})
    with pytest.raises(CondenserError, match=r"^recipe.stages\[0\].teacher.epochs=-1: "):
        planned(config, {"teacher": {"epochs": -1}})


def test_a_target_replaces_the_settings_of_the_class_it_displaces(config: dict[str, Any]) -> None:
    (stage,) = planned(config, {"teacher": {"model": {"_target_": "a.B", "name": "b", "x": 1}}})
    assert stage.settings["model"] == {"_target_": "a.B", "name": "b", "x": 1}
    _, stage = planned(config, "teacher", {"distill": {"_target_": "a.Own", "beta": 2}})
    around = {key: config["distill"][key] for key in ("teachers", "ensemble", "model", "inherit")}
    around["optim"] = optim_of(config)
    assert stage.settings == {"_target_": "a.Own", "beta": 2, **around}
    _, stage = planned(config, "teacher", {"prune": {"_target_": "a.Own", "epochs": 3}})
    assert stage.settings["optim"] == {**optim_of(config), "epochs": 3}
    assert set(stage.settings) == {"_target_", "objective", "optim", "teachers", "ensemble"}
    _, stage = planned(config, "teacher", {"quantize": {"_target_": "a.Own"}})
    around = {key: config["quantize"][key] for key in ("objective", "teachers", "ensemble")}
    around["optim"] = {**optim_of(config), "epochs": 0}
    assert stage.settings == {"_target_": "a.Own", "images": 1024, **around}


def test_merging_is_deep_and_makes_a_new_mapping() -> None:
    base = {"a": {"b": 1, "c": {"_target_": "x.Y", "d": 2}}, "e": [1, 2]}
    over = {"a": {"b": 5, "c": {"d": 3}}, "e": [9]}
    merged = {"a": {"b": 5, "c": {"_target_": "x.Y", "d": 3}}, "e": [9]}
    assert merge(base, over, "") == merged
    assert base == {"a": {"b": 1, "c": {"_target_": "x.Y", "d": 2}}, "e": [1, 2]}


# --- what a stage learns from, and what decides its result


@pytest.mark.parametrize(
    ("asked", "before", "teacher"),
    [
        ("auto", ["teacher"], True),
        ("auto", ["student"], False),
        ("distill", ["teacher"], True),
        ("labels", ["teacher"], False),
    ],
)
def test_pruning_learns_from_what_its_config_names(
    config: dict[str, Any], asked: str, before: list[str], teacher: bool
) -> None:
    *_, stage = planned(config, *before, {"prune": {"objective": asked}})
    assert stage.uses_teacher == teacher
    objective = stage.ingredients()["objective"]
    kd = {k: config["distill"][k] for k in ("_target_", "temperature", "alpha", "standardize")}
    assert objective == (kd if teacher else {"_target_": "condenser.distill.Labels"})
    assert ("distill/temperature" in stage.described()) == teacher


def test_a_name_is_no_ingredient_and_every_setting_is(config: dict[str, Any]) -> None:
    renamed = copy.deepcopy(config)
    renamed["student"]["model"]["name"] = "other"
    wider = copy.deepcopy(config)
    wider["student"]["model"]["widths"] = [33]
    longer = copy.deepcopy(config)
    longer["student"]["epochs"] = 21
    given, same, *others = (
        planned(one, "student")[0].ingredients() for one in (config, renamed, wider, longer)
    )
    assert given == same
    assert given not in others


def test_settings_are_told_as_flat_record_keys(config: dict[str, Any]) -> None:
    _, stage = planned(config, "teacher", {"prune": {"rate": 0.25}})
    told = stage.described()
    assert told["prune/rate"] == 0.25
    assert told["prune/criterion"] == "Magnitude"
    assert told["prune/optim/epochs"] == config["optim"]["epochs"]
    assert all(isinstance(value, str | int | float | bool) for value in told.values())
    assert not any("_target_" in key or "_partial_" in key for key in told)


def test_a_training_plan_is_the_shared_one_but_for_what_its_stage_says() -> None:
    config = config_of(
        "optim.lr=0.5",
        "prune.epochs=3",
        "prune.optim.lr=0.1",
        "tune.optim.optimizer={weight_decay:0.7}",
        "+optim@cut.optim=sgd",
    )
    teacher, prune, tune, cut = planned(config, "teacher", "prune", "tune", "cut")
    shared = optim_of(config)
    assert teacher.settings["optim"] == shared
    assert prune.settings["optim"] == {**shared, "epochs": 3, "lr": 0.1}
    decayed = {**shared["optimizer"], "weight_decay": 0.7}
    assert tune.settings["optim"] == {**shared, "optimizer": decayed}
    assert cut.settings["optim"] == optim_of(config_of("optim=sgd"))
