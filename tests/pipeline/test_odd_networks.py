"""Networks as people write them work from training to the store, or are refused before training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import odd_networks
import pytest
import torch
from running import QUICK, config_of, run_in
from torch import Tensor, nn

from condenser.checkpoint import model_spec, packed
from condenser.checkpoint.model_spec import ModelSpec
from condenser.data import DataModule, digits
from condenser.errors import CondenserError, ConfigError, DamagedError
from condenser.models import weights
from condenser.pipeline import tryout
from condenser.pipeline.console import Console
from condenser.pipeline.plan import make_plan
from condenser.pipeline.session import run_context
from condenser.pipeline.stages import RunContext, export, training
from condenser.pipeline.tryout import passed
from condenser.store import Entry
from condenser.store.marker import claim
from condenser.training.state import laid_out

AT = "(odd_networks.py:…)"
IMAGES = "it must take images of 1x8x8"
NO_LOGITS = (
    "fails in eval mode on 2 of the images: answers with {}; must be a tensor (batch, outputs), "
    "a tuple that begins with one, or have logits"
)
UNSTORED = (
    "answers differently once stored and loaded: its state_dict lacks what forward uses ({}); "
    "register_buffer keeps a tensor"
)
OUTPUTS = "answers 2 images with a tensor of {}; must be of 2x10, a logit for each class of digits"
KINDS = (
    "fails in eval mode on 2 of the images: RuntimeError: mat1 and mat2 must have the same dtype, "
    f"but got Float and {{}} {AT}; its parameters are {{}}, the images float32"
)
REFUSED = {
    "NoLogits": NO_LOGITS.format("a dict of aux, out"),
    "Nothing": NO_LOGITS.format("a NoneType"),
    "Twenty": OUTPUTS.format("2x20"),
    "PerPixel": OUTPUTS.format("2x10x8x8"),
    "Probabilities": OUTPUTS.format("2"),
    "Forgotten": UNSTORED.format("noise"),
    "Running": UNSTORED.format("mean"),
    "ExtraState": (
        "cannot be stored: _extra_state is a dict; what a state_dict holds must be tensors"
    ),
    "Uncopied": (
        "cannot be copied (copy.deepcopy): TypeError: cannot pickle '_thread.lock' object"
    ),
    "AllFrozen": "has no parameter to train: none has requires_grad",
    "Detached": (
        "cannot be trained on a batch of 2: its logits depend on no parameter that has "
        "requires_grad"
    ),
    "Double": KINDS.format("Double", "float64"),
    "Half": KINDS.format("Half", "float16"),
    "SpoilsInput": "changes the images that it is given in place; it must leave them",
    "Random": (
        "answers the same images differently in eval mode; what is random belongs behind "
        "`if self.training`"
    ),
    "LargeImages": (
        "fails in eval mode on 2 of the images: RuntimeError: mat1 and mat2 shapes cannot be "
        f"multiplied (2x64 and 784x16) {AT}; {IMAGES}"
    ),
    "BatchStatistics": (
        "fails in eval mode on 1 of the images: ValueError: Expected more than 1 value per channel "
        f"when training, got input size torch.Size([1, 8, 1, 1]) {AT}; {IMAGES}"
    ),
    "Broken": f"cannot be built: AttributeError: 'Broken' object has no attribute 'width' {AT}",
}
COMPUTED = ("WeightNorm", "SpectralNorm", "Orthogonal", "OldWeightNorm", "OldSpectralNorm")
RIGHT = [*(name for name in odd_networks.networks() if name not in REFUSED), "function"]
NO_FILE = {
    "Decides": (
        "ONNX export failed in Decides: it decides on the values of a tensor, which a graph cannot"
    ),
}


def words(name: str, role: str = "student") -> list[str]:
    target = f"{role}.model._target_=odd_networks.{name}"
    return [target, f"{role}.model.name={name}", f"~{role}.model.widths"]


def tried(folder: Path, *overrides: str) -> RunContext:
    """The networks of a recipe, tried; the workbench."""
    config = config_of(*QUICK, f"runs={folder}", *overrides)
    ctx = run_context(config, Console(folder, quiet=True))
    tryout.try_out(make_plan(config).stages, ctx, folder / ".store").keep()
    return ctx


def line(error: BaseException) -> str:
    """What is said, numbers of lines aside."""
    head, mark, rest = str(error).partition("odd_networks.py:")
    return head + mark + "…" + rest.lstrip("0123456789") if mark else head


def test_all_networks_are_in_one_table_or_the_other() -> None:
    assert set(REFUSED) < {*odd_networks.networks()} and len(RIGHT) > 30


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(CondenserError) as caught:
        tried(tmp_path, "recipe=[student]", *words(name))
    assert line(caught.value) == f"student.model={name}: {REFUSED[name]}"
    assert not (tmp_path / ".store").exists()


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The networks of all trainings, as these leave them."""
    models: list[nn.Module] = []
    train = training.TrainingStage.train

    def keep(self: Any, ctx: Any, training: Any) -> Any:
        models.append(training.model)
        return train(self, ctx, training)

    monkeypatch.setattr(training.TrainingStage, "train", keep)
    return models


def entries(folder: Path, records: list[Any]) -> Iterator[tuple[ModelSpec, nn.Module]]:
    for record in records:
        entry = Entry(folder / ".store" / f"{record['stage']}-{record['key']}", record["key"])
        yield entry.load(tuple(f"odd_networks.{name}" for name in RIGHT))


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.fuzz] if p % 2 else []) for p, n in enumerate(RIGHT)],
)
def test_the_stored_network_answers_as_the_trained_one(
    tmp_path: Path, name: str, trained: list[nn.Module]
) -> None:
    more = ["prune.exclude=[fc1]", "quantize.exclude=[fc1]"] if name in COMPUTED else []
    taught = RIGHT.index(name) % 3 == 0
    both = [word for role in ("teacher", "student") for word in words(name, role)]
    stages = f"[{'teacher,distill' if taught else 'student'},prune,quantize]"
    records = run_in(tmp_path, f"recipe={stages}", *both, *more)
    images = torch.randn(3, 1, 8, 8)
    for model, (made, stored) in zip(trained, entries(tmp_path, records), strict=False):
        plain = model.to(memory_format=torch.contiguous_format).eval()
        if not made.operations:  # else what trained was not yet what is kept
            now, then = plain.state_dict(), stored.state_dict()
            assert now.keys() == then.keys() and all(torch.equal(now[k], then[k]) for k in now)
        with torch.no_grad():
            assert torch.equal(plain(images), stored(images))
    assert len(trained) == 2 + taught and all(
        record["test/accuracy"] is not None for record in records
    )
    for made, stored in entries(tmp_path, records):
        again = packed.unpack(packed.pack(made, stored), (f"odd_networks.{name}",))[1]
        with torch.no_grad():
            assert torch.equal(again(images), stored(images))


@pytest.mark.parametrize("name", COMPUTED)
def test_a_weight_made_of_others_is_no_compressions_affair(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run_in(tmp_path, "recipe=[student,prune]", *words(name))
    assert str(caught.value) == (
        "prune.exclude=[]: must be a list with the layers whose weight is made of others "
        "(weight_norm, a parametrisation): fc1"
    )
    assert not list(tmp_path.glob("**/record.json"))


@pytest.mark.parametrize("name", NO_FILE)
def test_what_cannot_be_a_file_is_refused_where_the_recipe_exports(
    tmp_path: Path, name: str
) -> None:
    tried(tmp_path, "recipe=[student]", *words(name))
    with pytest.raises(CondenserError) as caught:
        tried(tmp_path, "recipe=[student,export]", *words(name))
    assert line(caught.value) == (
        f"student.model={name}: cannot be written for onnx (leave export out, or name another "
        f"export.target): {NO_FILE[name]}"
    )


@pytest.mark.parametrize("name", ["Tied", "OldWeightNorm"])
def test_what_a_file_can_hold_answers_as_the_network(tmp_path: Path, name: str) -> None:
    more = ["quantize.exclude=[fc1]"] if name in COMPUTED else []
    (_, *_, file) = run_in(tmp_path, "recipe=[student,quantize,export]", *words(name), *more)
    assert isinstance(file["export/agreement"], float) and file["export/agreement"] > 0.9


def test_a_convolution_called_twice_is_refused_for_executorch_in_int8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: name)
    asked = ["recipe=[student,quantize,export]", "export.target=executorch", *words("ConvTwice")]
    with pytest.raises(CondenserError) as caught:
        tried(tmp_path, *asked)
    assert str(caught.value) == (
        "student.model=ConvTwice: cannot be quantised: middle: a convolution that is called more "
        "than once cannot be int8 for ExecuTorch; name it in quantize.exclude, or give each call "
        "a layer of its own"
    )


def test_what_went_well_once_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["recipe=[student,quantize,export]", *words("Plain")]
    claim(tmp_path / ".store")
    tried(tmp_path, *asked)

    def again(*_: Any) -> None:
        raise AssertionError("tried again")

    monkeypatch.setattr(tryout, "attempt", again)
    tried(tmp_path, *asked)
    for other in (["recipe=[student]"], ["export.input=uint8"], ["data.limit=1"]):
        with pytest.raises(AssertionError):
            tried(tmp_path, *asked, *other)


def test_a_store_that_cannot_be_written_remembers_nothing(tmp_path: Path) -> None:
    memory = passed.Passed(tmp_path / "new")
    memory.new.add("key")
    memory.keep()
    assert not memory.has("key") and not (tmp_path / "new").exists()
    claim(tmp_path / "new")
    (tmp_path / "new" / ".tried").write_text("no folder")
    memory.keep()
    assert not memory.has("key")


def test_a_store_of_its_own_is_new_to_a_network_of_ones_own(tmp_path: Path) -> None:
    asked = [f"store={tmp_path / 'store'}", "recipe=[student]", *words("Plain")]
    for run in ("one", "two"):
        run_in(tmp_path, *asked, run=run)
        assert len(list((tmp_path / "store" / ".tried").iterdir())) == 1


# --- one weight under several names


def made(name: str, versions: bool = False) -> tuple[ModelSpec, nn.Module]:
    torch.manual_seed(0)
    architecture = {"_target_": f"odd_networks.{name}"}
    plan = ModelSpec(architecture, (1, 8, 8), 10)
    return plan, plan.build((str(architecture["_target_"]),)).eval()


@pytest.mark.parametrize("name", ["Tied", "TwoNames", "Transposed"])
def test_a_tied_weight_is_kept_once_and_tied_again(tmp_path: Path, name: str) -> None:
    plan, model = made(name)
    kept = weights.kept(model)
    assert len(kept) == len(model.state_dict()) - {"Tied": 1, "TwoNames": 2, "Transposed": 0}[name]
    model_spec.save(tmp_path, plan, model)
    _, again = model_spec.load(tmp_path, (f"odd_networks.{name}",))
    assert weights.aliases(again) == weights.aliases(model)
    count = sum(parameter.numel() for parameter in model.parameters())
    rows = packed.table(plan, model)
    assert sum(row.entries for row in rows[:-1]) == count


def test_a_tied_weight_is_pruned_once(tmp_path: Path) -> None:
    both = [*words("Tied"), "prune.rate=0.5", "prune.exclude=[into,out]"]
    *_, pruned = run_in(tmp_path, "recipe=[student,prune]", *both)
    assert pruned["gone/first"] == pytest.approx(0.5, abs=0.01)
    assert "gone/second" not in pruned


# --- what stays


def test_frozen_layers_stay_as_they_are(tmp_path: Path, trained: list[nn.Module]) -> None:
    both = [word for role in ("teacher", "student") for word in words("Frozen", role)]
    stages = "recipe=[teacher,distill,{factorize:{exclude:[fc2]}},tune]"
    records = run_in(tmp_path, stages, *both, "optim.epochs=2", "factorize=svd")
    torch.manual_seed(0)
    first = odd_networks.Frozen().fc1.weight
    (_, teacher), (_, student), *rest = entries(tmp_path, records)
    assert torch.equal(teacher.get_parameter("fc1.weight"), first)
    assert torch.equal(student.get_parameter("fc1.weight"), first)
    thin = [model.get_submodule("fc1").state_dict() for _, model in rest]
    assert thin[0].keys() == thin[1].keys() and len(thin[0]) > 2
    assert all(torch.equal(thin[0][key], thin[1][key]) for key in thin[0])
    assert not torch.equal(rest[0][1].get_parameter("fc2.weight"), first)


def test_what_draws_in_training_draws_the_same_after_a_kill() -> None:
    """A step's numbers are a function of the step, also where no nn.Dropout says that it draws."""
    from condenser.training.state import foreign

    assert foreign(odd_networks.Noisy()) and not foreign(nn.Sequential(nn.Linear(1, 1)))


def test_a_view_after_a_convolution_keeps_the_order_it_asks_for() -> None:
    images = torch.randn(2, 1, 8, 8)
    viewing, other = odd_networks.View(), odd_networks.Maps((1, 8, 8), 10)
    laid_out(viewing, images), laid_out(other, images)
    assert viewing.conv.weight.is_contiguous()
    assert other.head.weight.is_contiguous(memory_format=torch.channels_last)
    assert viewing(images).shape == (2, 10)


# --- batches of one


@pytest.mark.parametrize(
    ("limit", "size", "sizes"),
    [(129, 128, [129]), (128, 128, [128]), (130, 128, [128, 2]), (100, 33, [33, 33, 34])],
)
def test_no_sample_is_left_alone(limit: int, size: int, sizes: list[int]) -> None:
    data = DataModule("digits", digits, batch_size=size, limit=limit)
    loader = data.train_dataloader()
    batches = list(loader)
    assert [len(batch.target) for batch in batches] == sizes == loader.sizes
    assert len(loader) == len(sizes)
    assert sorted(torch.cat([batch.index for batch in batches]).tolist()) == list(range(limit))
    resumed = list(loader.at(0, len(sizes) - 1))
    assert torch.equal(resumed[0].index, batches[-1].index) and len(resumed) == 1


def test_a_batch_norm_on_one_pixel_trains_where_a_sample_would_be_left(tmp_path: Path) -> None:
    (record,) = run_in(tmp_path, "recipe=[student]", "data.limit=129", *words("OnePixel"))
    assert record["test/accuracy"] is not None


def test_batches_of_one_are_refused_where_a_network_cannot(tmp_path: Path) -> None:
    shipped = ["model@student.model=vgg8", "recipe=[student]", "optim.batch_size=1"]
    for asked, name in ((shipped, "vgg8"), (words("OnePixel"), "OnePixel")):
        with pytest.raises(CondenserError) as caught:
            tried(tmp_path, "recipe=[student]", "optim.batch_size=1", *asked)
        assert str(caught.value).startswith(
            f"student.model={name}: cannot be trained on a batch of 1"
        )
        assert str(caught.value).endswith("optim.batch_size and data.limit must be above 1")


# --- stored networks that do not fit


def test_versions_of_a_state_are_kept(tmp_path: Path) -> None:
    plan = ModelSpec({"_target_": "condenser.models.torchvision_model"}, (3, 32, 32), 10)
    plan = ModelSpec({**plan.architecture, "architecture": "mnasnet0_5"}, (3, 32, 32), 10)
    model = plan.build().eval()
    model_spec.save(tmp_path, plan, model)
    _, again = model_spec.load(tmp_path)
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(again(image), model(image))
    assert weights.versions(model) == {"": 2}


def test_a_version_that_the_code_no_longer_reads_is_told(tmp_path: Path) -> None:
    plan, model = made("Versioned")
    model_spec.save(tmp_path, plan, model)
    file = tmp_path / "model.json"
    file.write_text(file.read_text().replace('"": 2', '"": 1'))
    with pytest.raises(DamagedError, match="weights beside it: made before version 2"):
        model_spec.load(tmp_path, ("odd_networks.Versioned",))


def test_weights_of_another_network_are_told_apart(tmp_path: Path) -> None:
    plan, _ = made("Plain")
    other: Any = nn.Sequential()
    for name in ("fc", "a", "b", "c"):
        other.add_module(name, nn.Linear(64, 16))
    other.add_module("fc2", nn.Linear(16, 20))
    model_spec.save(tmp_path, plan, other)
    with pytest.raises(DamagedError) as caught:
        model_spec.load(tmp_path, ("odd_networks.Plain",))
    assert str(caught.value).partition("beside it: ")[2] == (
        "2 missing: fc1.weight, fc1.bias; 8 unknown: a.bias (did you mean fc1.bias?), "
        "a.weight (did you mean fc1.weight?), b.bias (did you mean fc1.bias?) and 5 more; "
        "2 of another shape: fc2.weight is 20x16, not 10x16, fc2.bias is 20, not 10"
    )


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network for twenty classes, and one of a user's own."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "twenty").mkdir(), (folder / "own").mkdir()
    plan = ModelSpec({"_target_": "condenser.models.LeNet5", "widths": [2, 4, 8]}, (1, 8, 8), 20)
    model_spec.save(folder / "twenty", plan, plan.build())
    model_spec.save(folder / "own", *made("Plain"))
    return folder


@pytest.mark.parametrize(
    "asked",
    [
        ["recipe=[teacher]"],
        ["recipe=[teacher,prune]"],
        ["recipe=[teacher,distill]"],
        ["recipe=[teacher,distill]", "distill=kd_at"],
        ["recipe=[teacher,distill,prune]", "distill=at", "prune.teachers=dense", "distill=kd"],
    ],
)
def test_a_teacher_of_other_classes_is_refused(
    tmp_path: Path, twenty: Path, asked: list[str]
) -> None:
    load = twenty / "twenty"
    with pytest.raises(ConfigError) as caught:
        run_in(tmp_path, f"teacher.load={load}", *asked)
    assert str(caught.value) == (
        f"teacher.load={load}: must be a network with 10 outputs, the classes of digits; "
        "it has 20; of another task only features can be learnt from: distill=at"
    )


def test_features_of_other_classes_can_be_learnt_from(tmp_path: Path, twenty: Path) -> None:
    words = ["model@student.model=lenet5_tenth", "distill=at", "data=synthetic"]
    asked = [*words, f"teacher.load={twenty / 'twenty'}", "recipe=[teacher,distill]"]
    teacher, student = run_in(tmp_path, *asked)
    assert teacher["test/accuracy"] is None and student["test/accuracy"] is not None


def test_an_own_network_that_is_loaded_has_to_be_named(tmp_path: Path, twenty: Path) -> None:
    load = twenty / "own"
    with pytest.raises(ConfigError) as caught:
        run_in(tmp_path, f"teacher.load={load}", "recipe=[teacher,prune]")
    assert str(caught.value) == (
        f"teacher.load={load}: must be a network of condenser.models, or one that you name; "
        "add model@teacher.model=NAME, conf/model/NAME.yaml with _target_: odd_networks.Plain"
    )
    named = [*words("Plain", "teacher"), f"teacher.load={load}", "recipe=[teacher,prune]"]
    assert len(run_in(tmp_path, *named)) == 2


def test_a_student_of_an_own_class_can_be_named_in_a_recipe(tmp_path: Path) -> None:
    own: Tensor = odd_networks.Plain()(torch.zeros(1, 1, 8, 8))
    assert own.shape == (1, 10)
    model = "{_target_: odd_networks.Plain, name: plain}"
    records = run_in(tmp_path, f"recipe=[teacher,{{distill:{{model:{model}}}}}]")
    assert records[1]["model"] == "plain"
