"""Every bad value is named before anything runs, and every shipped config is a good one."""

from __future__ import annotations

import copy
import math
import re
from itertools import zip_longest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from places import IDS, SPEECH
from running import config_of

from condenser import errors
from condenser.cli import train as cli
from condenser.config import schema
from condenser.errors import CondenserError, ConfigError
from condenser.pipeline.plan import expand, make_plan, merge
from condenser.tasks import Multiclass, Vocabulary


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return config_of()


def with_value(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(config)
    *path, last = key.split(".")
    section = changed
    for part in path:
        section = section[part]
    section[last] = value
    return changed


def complaint(config: dict[str, Any]) -> str:
    with pytest.raises(CondenserError) as raised:
        schema.check(config)
    return str(raised.value)


# --- bad values

BAD = [
    ("distill.temperature", 0, "> 0"),
    ("distill.temperature", -1.5, "> 0"),
    ("distill.temperature", math.inf, "a finite number"),
    ("distill.temperature", math.nan, "a finite number"),
    ("distill.temperature", "warm", "a number"),
    ("distill.temperature", "4", "a number"),
    ("distill.temperature", True, "a number"),
    ("distill.alpha", 1.1, "<= 1"),
    ("distill.alpha", -0.1, ">= 0"),
    ("prune.rate", 1, "< 1"),
    ("prune.rate", -0.5, ">= 0"),
    ("prune.until", 1.0, "< 1"),
    ("prune.objective", "teacher", "unknown (choices: auto, distill, labels)"),
    ("quantize.bits", 0, ">= 1"),
    ("quantize.bits", 16, "<= 8"),
    ("quantize.bits", 4.5, "a whole number"),
    ("quantize.activation_bits", 32, "<= 8"),
    ("quantize.images", 0, ">= 1"),
    ("export.batch", 0, ">= 1"),
    ("export.threads", -1, ">= 1"),
    ("optim.lr", 0, "> 0"),
    ("optim.lr", math.inf, "a finite number"),
    ("optim.epochs", -1, ">= 0"),
    ("optim.epochs", 2.0, "a whole number"),
    ("optim.epochs", True, "a whole number"),
    ("optim.batch_size", "all", "a whole number"),
    ("optim.optimizer", {"lr": 1}, "a value (none is given)"),
    ("optim", None, "a mapping"),
    ("teacher.min_accuracy", 95, "<= 1"),
    ("teacher.model.name", None, "a word"),
    ("seed", -1, ">= 0"),
    ("seed", 2**32, "< 4294967296"),
    ("name", "a/b", "a name: at most 200 bytes"),
    ("name", "", "a name: at most 200 bytes"),
    ("runs", 3, "a word"),
    ("data._target_", "digits", "a name that matches"),
    ("data.val_fraction", 0.0, "> 0"),
    ("data.val_fraction", 1, "< 1"),
    ("data.limit", 0, ">= 1"),
    ("data.views", 1.5, "a whole number"),
    ("trainer.accelerator", "tpu", "unknown; did you mean gpu? (choices: auto, "),
    ("trainer.devices", 0, ">= 1"),
    ("trainer.threads", 0, ">= 1 or auto"),
    ("trainer.precision", 16, "auto or 32-true or bf16-mixed"),
    ("trainer.compile", "yes", "true or false"),
    ("trainer.deterministic", "yes", "true or false or warn"),
    ("recipe.stages", [], "a list of at least 1"),
    ("recipe.stages", "teacher", "a list"),
    ("recipe.stages", [3], "a word or a mapping"),
]


@pytest.mark.parametrize(("key", "value", "allowed"), BAD, ids=[f"{k}={v}" for k, v, _ in BAD])
def test_a_bad_value_is_told_in_one_line_with_what_is_allowed(
    config: dict[str, Any], key: str, value: Any, allowed: str
) -> None:
    told = complaint(with_value(config, key, value))
    assert "\n" not in told
    assert told.startswith(key)
    assert (allowed if allowed.startswith("unknown") else f": must be {allowed}") in told
    if not isinstance(value, dict | list):
        assert told.startswith(f"{key}={errors.shown(value)}: ")


def test_the_place_within_a_list_is_named(config: dict[str, Any]) -> None:
    stages = ["teacher", 3]
    assert complaint(with_value(config, "recipe.stages", stages)) == (
        "recipe.stages.1=3: must be a word or a mapping"
    )


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("prun", "prune"),
        ("trainer.precisio", "precision"),
        ("teacher.epoch", "epochs"),
        ("teacher.min_acuracy", "min_accuracy"),
        ("optim.learning_rate", None),
        ("trainer.strictness", None),  # begins like a type's name
        ("export.interval", None),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(
    config: dict[str, Any], key: str, meant: str | None
) -> None:
    told = complaint(with_value(config, key, 1))
    assert told.startswith(f"{key}: no such key")
    assert f"; did you mean {meant}? (choices: " in told or (meant is None and "choices: " in told)


def test_a_class_may_have_settings_of_its_own(config: dict[str, Any]) -> None:
    for section in ("distill", "prune", "quantize", "data", "logger", "student.model"):
        schema.check(with_value(config, f"{section}.own_setting", 3))


def test_a_missing_section_is_missed(config: dict[str, Any]) -> None:
    del config["export"]["batch"], config["prune"]["objective"]
    assert complaint(config).splitlines() == [
        "prune.objective=: must be a value (none is given)",
        "export.batch=: must be a value (none is given)",
    ]


def test_all_problems_are_told_at_once() -> None:
    config = config_of("distill.temperature=0", "prune.rate=2", "+export.bach=3", "quantize.bits=0")
    lines = complaint(config).splitlines()
    keys = ["distill.temperature=0", "prune.rate=2", "quantize.bits=0", "export.bach"]
    assert [line.split(":")[0] for line in lines] == keys


def test_what_stages_inherit_is_told_once() -> None:
    assert complaint(config_of("optim.lr=-1")) == "optim.lr=-1: must be > 0"
    told = complaint(config_of("optim.lr=-1", "prune.optim.lr=-2"))
    assert [line.split(":")[0] for line in told.splitlines()] == [
        "optim.lr=-1",
        "prune.optim.lr=-2",
    ]


# --- every shipped config

# sections of a config that stand alone
PARTS = ("model", "distill", "sparse", "prune", "cut", "share", "merge", "factorize", "quantize")


def files() -> dict[str, list[str]]:
    """The options of each group of conf."""
    groups: dict[str, list[str]] = {}
    for path in sorted(cli.CONF.rglob("*.yaml")):
        groups.setdefault(str(path.relative_to(cli.CONF).parent), []).append(path.stem)
    for name in ("own", "timm", "transformers"):  # name no network before their user does
        groups["model"].remove(name)
    return groups


def choices() -> dict[str, list[str]]:
    """Overrides that use every file but the parts'; those that do not meet go together."""
    groups = {group: names for group, names in files().items() if group not in PARTS}
    assert groups.pop(".") == ["train"]
    columns = {group: groups.pop(group) for group in ("data", "optim", "trainer", "logger")}
    together = [
        [f"{key}={name}" for key, name in zip(columns, row, strict=True) if name]
        for row in zip_longest(*columns.values())
    ]
    for part in ("inherit", "sampler", "criterion", "granularity", "scope", "schedule", "cut/base"):
        del groups[part]
    alone = [[f"{group}={name}"] for group, names in groups.items() for name in names]
    return {" ".join(words): words for words in ([], *together, *alone)}


def builds(config: dict[str, Any]) -> None:
    """Checked, planned, and all that its stages need built; the data is named, not read."""
    import torch

    from condenser.config.instantiate import build

    schema.check(config)
    plan = make_plan(config)
    stages = list(plan.to_check())
    assert plan.search or len(stages) == len(list(expand(config["recipe"]["stages"])))
    heard = config["teacher"]["model"]["name"].startswith(SPEECH)
    shape = (1, 8000) if heard else (3, 32, 32)
    statistics = {"mean": (0.5,) * shape[0], "std": (0.25,) * shape[0]}
    data: Any = SimpleNamespace(input_shape=shape, num_classes=10, **statistics)
    data.task = data.weighted_task = Multiclass(10)
    data.targets, data.mix, data.vocabulary = torch.arange(100) % 10, None, None
    data.strong = ("a second view",)
    role = "teacher" if any(stage.word == "teacher" for stage in stages) else "student"
    if (name := str(config[role]["model"]["name"])).startswith(IDS):
        data.input_shape = (2, 32) if name.startswith("translator_") else (32,)
        data.vocabulary = Vocabulary(50)
    kind = torch.float32 if data.vocabulary is None else torch.int64
    data.example = lambda n: torch.zeros(n, *data.input_shape, dtype=kind)
    ctx: Any = SimpleNamespace(data=data, seed=0, build=build, trusted=(), warn=lambda text: None)
    # networks of any size cost nothing on meta, where nothing can be taken over or cut
    looks = any(s.settings.get("inherit") or getattr(s, "compression", None) for s in stages)
    with torch.device("cpu" if looks else "meta"):
        for stage in stages:
            stage.check(ctx)


@pytest.mark.parametrize("words", choices().values(), ids=choices())
def test_every_shipped_choice_composes_and_builds(words: list[str]) -> None:
    from condenser.config.instantiate import build

    config = config_of(*words)
    builds(config)
    data = build(config["data"], batch_size=config["optim"]["batch_size"], seed=0)
    assert (data.name, data.batch_size) == (config["data"]["name"], config["optim"]["batch_size"])
    build(config["logger"], _partial_=True)


LENET = {"_target_": "condenser.models.LeNet5", "name": "lenet5"}


@pytest.fixture(scope="module")
def convolutional() -> dict[str, Any]:
    """Two small networks of one kind, whose features any objective can compare."""
    return config_of("model@teacher.model=resnet8", "model@student.model=resnet8")


ASKING = {"gkd": "tokens", "sequence_kd": "translation"}


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group in PARTS for name in files()[group]]
)
def test_every_shipped_part_composes_and_builds(
    convolutional: dict[str, Any], group: str, name: str
) -> None:
    """The file is composed by itself and put in its place: a whole config takes longer."""
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        composed: Any = OmegaConf.to_container(compose(f"{group}/{name}"), resolve=True)
    config, part = copy.deepcopy(convolutional), composed[group]
    if group == "model":
        config["teacher"]["model"], config["recipe"]["stages"] = part, ["teacher"]
    else:
        stage = schema.of_stage(group, config[group])
        config[group] = merge(stage, {**part, "_target_": part["_target_"]}, group)
    if group in ("sparse", "quantize"):  # some files cannot hold what quantize makes
        config["recipe"]["stages"] = ["teacher", group]
    if group == "prune" and name == "nm_2_4":
        config["prune"]["exclude"] = ["conv1"]  # of three inputs
    if name in ASKING:  # other data than images: that it says so, it was built for
        with pytest.raises(ConfigError, match=f"must be data of {ASKING[name]}"):
            builds(config)
    else:
        builds(config)


@pytest.mark.parametrize(
    ("group", "name"),
    [(g, name) for g in ("criterion", "granularity", "scope", "schedule") for name in files()[g]],
)
def test_every_part_of_a_pruning_method_composes_and_builds(
    convolutional: dict[str, Any], group: str, name: str
) -> None:
    config, part = copy.deepcopy(convolutional), OmegaConf.load(cli.CONF / group / f"{name}.yaml")
    composed: Any = OmegaConf.to_container(OmegaConf.create({"prune": part}), resolve=True)
    config["prune"][group] = composed["prune"]
    if name in ("per_layer_rates", "n_of_m"):
        config["prune"]["rate"] = None
    if name == "n_of_m":
        config["prune"]["exclude"] = ["conv1"]  # of three inputs
    if group == "criterion" and name == "batch_norm_scale":
        config["prune"]["granularity"]["_target_"] = "condenser.compress.masks.granularity.Filter"
    config["recipe"]["stages"] = ["teacher", "prune"]
    if name == "neuron":
        config["teacher"]["model"] = LENET  # with a hidden linear layer
    builds(config)


@pytest.mark.parametrize("name", files()["inherit"])
def test_every_shipped_inheritance_composes_and_builds(name: str) -> None:
    from condenser.config.instantiate import build
    from condenser.inherit import Inheritance

    config = config_of(f"inherit@distill.inherit={name}")
    schema.check(config)
    assert isinstance(build(config["distill"]["inherit"]), Inheritance)


@pytest.mark.parametrize("name", ["sgd", "adamw", "cifar240"])
def test_shipped_plans_start_at_their_rate_and_never_exceed_it(name: str) -> None:
    import torch

    from condenser.config.instantiate import build

    optim = config_of(f"optim={name}")["optim"]
    schedule = build(optim["schedule"])
    factors = [schedule(step / 100) for step in range(100)]
    assert factors[0] == 1
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] < 0.01
    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = build(optim["optimizer"])([parameter], lr=optim["lr"])
    parameter.sum().backward()
    optimizer.step()
    assert 0 < parameter.item() < 1


def test_experiments_sweep_over_keys_that_exist() -> None:
    paths = sorted((cli.CONF / "experiment").glob("*.yaml"))
    assert paths
    for path in paths:
        sweep = OmegaConf.select(OmegaConf.load(path), "hydra.sweeper.params") or {}
        bare = {key: re.sub(r"^(\w+\()+", "", str(values)) for key, values in sweep.items()}
        first = [f"{key}={values.split(',')[0]}" for key, values in bare.items()]
        config = config_of(f"experiment={path.stem}", *first)
        assert config["name"] == path.stem
        assert config["claim"]


def test_no_shipped_config_names_a_place_on_a_machine() -> None:
    for path in Path(cli.CONF).rglob("*.yaml"):
        text = path.read_text()
        assert not any(word in text for word in (" /work", " /home", " /tmp", " /root", " C:\\"))
