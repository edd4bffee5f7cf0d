"""What a teacher said is kept: read again it is what it would say now, and nobody else's."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import cache as remembered
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from condenser.capture import Capture
from condenser.data import Arrays, DataModule, HorizontalFlip, Shift, digits, imagefolder
from condenser.distill import KD, FitNet, Objective
from condenser.errors import CondenserError, ConfigError, DamagedError
from condenser.models import MLP, LeNet5
from condenser.training.distillation import Distillation
from condenser.training.fit import Fit, fit
from condenser.training.plan import Plan
from condenser.training.resume import Resume
from condenser.training.teacher_cache import (
    Cache,
    CachedOutputs,
    Manifest,
    digest,
    load,
    load_or_compute,
    load_or_make,
)
from condenser.training.teacher_cache import disk as disk_file
from condenser.training.teacher_cache.forms import form_of

SIZE, EPOCHS = 160, 4
TRAINER = {"accelerator": "cpu", "devices": 1, "deterministic": True}
LIVE = Cache(keep="none")


class Counting(LeNet5):
    """A teacher of strong opinions, that counts the images it is asked about."""

    def __init__(self, seed: int = 1) -> None:
        torch.manual_seed(seed)
        super().__init__((1, 8, 8), 10, widths=[4, 8, 20])
        with torch.no_grad():
            self.fc2.weight.mul_(20)
        self.asked: list[int] = []
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        self.asked.append(len(image))
        return super().forward(image)


def data(augment: bool = True, views: int | None = 2, seed: int = 3, size: int = 50) -> DataModule:
    one = [Shift(1), HorizontalFlip()] if augment else []
    options: dict[str, Any] = {"limit": SIZE, "augment": one, "views": views, "seed": seed}
    return DataModule("digits", digits, batch_size=size, **options)


fixed = partial(data, augment=False, views=None)


class Noted(Distillation):
    """Notes the loss of every step."""

    def terms(self, batch: Any) -> dict[str, Tensor]:
        found = super().terms(batch)
        self.losses = [*getattr(self, "losses", []), found["loss"].item()]
        return found


def noted(
    cache: Cache, source: DataModule, objective: Objective | None = None, **more: Any
) -> Noted:
    torch.manual_seed(2)
    student = MLP((1, 8, 8), 10, widths=[24], dropout=more.pop("dropout", 0.3))
    optimizer = partial(torch.optim.SGD, momentum=0.9)
    plan = Plan(optimizer, lr=0.02, epochs=EPOCHS, batch_size=source.batch_size)
    settings: dict[str, Any] = {"teacher": Counting(), "seed": 5} | more
    return Noted(student, plan, source, objective=objective or KD(), cache=cache, **settings)


def losses(cache: Cache, source: DataModule, **more: Any) -> np.ndarray:
    one = noted(cache, source, **more)
    fit(one, TRAINER)
    assert (one.cached is None) == (cache == LIVE)
    assert len(one.losses) == EPOCHS * 4
    return np.array(one.losses)


@remembered
def live(source: Callable[[], DataModule]) -> np.ndarray:
    """The losses with a teacher that is asked in every step."""
    return losses(LIVE, source())


def asked(teacher: nn.Module, source: DataModule, cache: Cache, *names: str, **more: Any) -> Any:
    """What is kept of a teacher, where an objective looks at the layers ``names``."""
    return load_or_compute(
        teacher, Capture(teacher, names), source, cache, **{"epochs": EPOCHS} | more
    )


def said(teacher: nn.Module, source: DataModule, view: int) -> Tensor:
    """The teacher's logits for an epoch of training, by index."""
    batches = list(source.train_dataloader().at(view))
    index = torch.cat([batch.index for batch in batches])
    return torch.cat([teacher(batch.image) for batch in batches])[index.argsort()]


# Training


@pytest.mark.parametrize("source", [data, fixed])
@pytest.mark.parametrize("keep", ["memory", "disk"])
def test_training_with_it_is_training_with_the_teacher(
    source: Callable[[], DataModule], keep: str, tmp_path: Path
) -> None:
    kept = losses(Cache(keep), source(), cache_dir=tmp_path)
    assert np.abs(live(source) - kept).max() <= 1e-5 < 0.1 < np.ptp(kept)


def test_training_on_features_that_were_kept(tmp_path: Path) -> None:
    hints = partial(FitNet, student_layers=["fc1"], teacher_layers=["conv2"])
    asked_anew = losses(LIVE, data(), objective=hints())
    kept = losses(Cache("disk", features=True), data(), objective=hints(), cache_dir=tmp_path)
    assert np.abs(asked_anew - kept).max() <= 1e-5


def test_half_precision_is_close() -> None:
    kept = losses(Cache("memory", "float16"), data())
    assert 0 < np.abs(live(data) - kept).max() < 0.01


class Killed(Exception):
    """What stands for the end of the process."""


class KillAfter(Resume):
    """Writes the state at every epoch's end, and dies in the second."""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.current_epoch == 1:
            raise Killed


@pytest.mark.parametrize("keep", ["memory", "disk"])
def test_killed_and_started_again_is_undisturbed(keep: str, tmp_path: Path) -> None:
    def train(cache_dir: str, resume: Resume | None = None) -> Fit:
        return fit(
            noted(Cache(keep), data(), cache_dir=tmp_path / cache_dir), TRAINER, resume=resume
        )

    whole, path = train("a"), tmp_path / "a.ckpt"
    with pytest.raises(Killed):
        train("b", KillAfter(path, every=0))
    again = train("b", Resume(path, every=1000))
    for name, tensor in whole.last.items():
        assert torch.equal(tensor, again.last[name]), name


def test_a_sweep_asks_the_teacher_once(tmp_path: Path) -> None:
    for turn, temperature in enumerate((1.0, 4.0)):
        one = noted(Cache(), fixed(seed=turn, size=40 + turn), KD(temperature), cache_dir=tmp_path)
        fit(one, TRAINER)
        questions = [n for n in one.teacher.asked if n > 2]  # type: ignore[union-attr]
        assert sum(questions) == (0 if turn else SIZE)
    assert len(list(tmp_path.glob("outputs-*/manifest.json"))) == 1


# What is kept


def test_every_view_is_as_its_epochs_show_it() -> None:
    teacher, source = Counting(), data(views=3)
    kept = asked(teacher, source, Cache("memory"))
    index = torch.tensor([7, 0, 159, 7])
    for epoch in range(5):
        outputs = kept(index, epoch)
        torch.testing.assert_close(outputs.logits, said(teacher, source, epoch)[index])
        assert torch.equal(outputs.index, index)
    assert not torch.equal(kept(index, 0).logits, kept(index, 1).logits)


def test_features_of_layers_with_any_names() -> None:
    teacher, source = Counting(), data()
    names = ("conv2", "fc1:input", "relu1#0")
    given = Capture(teacher, names)
    for cache, bound in ((Cache("memory", features=True), 1e-5), (Cache("memory", 3, True), 0.01)):
        kept = asked(teacher, source, cache, *names)(torch.arange(SIZE), epoch=1)
        for batch in source.train_dataloader().at(1):
            with given:
                teacher(batch.image)
                for name, feature in given.take().items():
                    assert (kept.features[name][batch.index] - feature).abs().max() < bound
                    assert kept.features[name].dtype == torch.float32


def test_it_depends_on_no_seed_and_batch_size_that_decide_nothing(tmp_path: Path) -> None:
    def kept(source: DataModule) -> CachedOutputs:
        return asked(Counting(), source, Cache("memory"))

    one, other = kept(fixed(seed=1, size=7)), kept(fixed(seed=2, size=64))
    assert one.manifest == other.manifest and one.manifest.seed is None
    assert torch.equal(one.arrays["logits"], other.arrays["logits"])
    one, other = kept(data(seed=1)), kept(data(seed=2))
    assert (one.manifest.seed, other.manifest.seed) == (1, 2)
    assert not torch.equal(one.arrays["logits"], other.arrays["logits"])


def test_the_largest_logits_and_the_rest_spread_evenly() -> None:
    z = 3 * torch.randn(50, 12, generator=torch.Generator().manual_seed(0))
    z[0], z[1, 3] = 0, 1000
    form = form_of(4)
    found = form.decode(form.encode(z), 12)
    p = np.exp(z.double().numpy() - z.double().numpy().max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    order = np.argsort(-p, axis=1, kind="stable")[:, :4]
    expected = np.repeat((1 - np.take_along_axis(p, order, 1).sum(1, keepdims=True)) / 8, 12, 1)
    np.put_along_axis(expected, order, np.take_along_axis(p, order, 1), 1)
    assert np.abs(found.softmax(1).numpy() - expected)[1:].max() < 1e-6
    assert np.abs(found[0]).max() < 1e-6  # equal logits come back whichever of them are kept
    assert torch.equal(found[2:].gather(1, torch.from_numpy(order[2:])), z[2:].topk(4)[0])
    assert form.encode(z)["classes"].dtype == torch.int16


def test_more_classes_than_sixteen_bits_count() -> None:
    z = torch.arange(40_000.0).expand(2, -1) / 1000
    form = form_of(2)
    found = form.decode(form.encode(z), 40_000)
    assert found.argmax(1).tolist() == [39_999] * 2 and form.specs(40_000)["classes"][0] == "int32"


@pytest.mark.parametrize(("logits", "bytes_each"), [("float32", 40), ("float16", 20), (3, 22)])
def test_bytes_on_disk_are_those_announced(
    logits: str | int, bytes_each: int, tmp_path: Path
) -> None:
    manifest = asked(Counting(), data(), Cache("disk", logits), cache_dir=tmp_path).manifest
    assert manifest.bytes == bytes_each * SIZE * 2
    (folder,) = tmp_path.glob("outputs-*/")
    stored = sum(np.load(path, mmap_mode="r").nbytes for path in folder.glob("*.npy"))
    assert stored == manifest.bytes


def test_an_overflow_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    teacher = Counting()
    with torch.no_grad():
        teacher.fc2.weight.mul_(1e6)
    with pytest.raises(CondenserError, match="logits are not finite.*float32"):
        asked(teacher, data(), Cache("disk", "float16"), cache_dir=tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_image_files_read_by_workers(tmp_path: Path) -> None:
    from PIL import Image

    noise = np.random.default_rng(0)
    for number in range(24):
        path = tmp_path / "images" / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (12, 12), dtype=np.uint8)).save(path)
    read = partial(imagefolder, size=8, resize=10, mode="L", num_workers=2)
    source = DataModule("files", read, tmp_path / "images", batch_size=5, views=2, val_fraction=0.2)
    teacher = Counting()
    kept = asked(teacher, source, Cache("disk"), cache_dir=tmp_path)
    assert kept.manifest.seed == 0
    for epoch in (0, 1, 2):
        whole = kept(torch.arange(source.train_size), epoch).logits
        torch.testing.assert_close(whole, said(teacher, source, epoch))


# On disk


def manifest(**parts: Any) -> Manifest:
    whole: dict[str, Any] = {
        "teacher": "t",
        "data": "d",
        "seed": 1,
        "views": 2,
        "samples": 3,
        "classes": 4,
        "numerics": {"device": "cpu"},
    }
    return Manifest(**whole | {"logits": "float32", "layers": {"conv": (2, 1)}} | parts)


def number(arrays: Any) -> None:
    for name, array in arrays.items():
        array[:] = np.arange(array.size).reshape(array.shape) + 100 * len(name)


def test_what_is_read_is_what_was_written_mapped_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = load_or_make(tmp_path / "a" / "b", manifest(), number)
    monkeypatch.setattr(disk_file, "ROOM", 0)
    mapped = load(tmp_path / "a" / "b", manifest())
    assert np.load(tmp_path / "a/b/feature_0.npy").shape == (2, 3, 2, 1)
    for taught in (made, mapped):
        outputs = taught(torch.tensor([2, 0]), epoch=3)
        assert outputs.logits.tolist() == [[620, 621, 622, 623], [612, 613, 614, 615]]
        assert outputs.features["conv"].flatten(1).tolist() == [[910, 911], [906, 907]]


def test_parts_that_differ_are_all_named(tmp_path: Path) -> None:
    load_or_make(tmp_path / "a", manifest(), number)
    other = manifest(seed=None, views=5, layers={"conv": (2, 1), "fc": (9,)})
    with pytest.raises(CondenserError) as caught:
        load_or_make(tmp_path / "a", other, number)
    said = str(caught.value)
    assert f"{tmp_path / 'a'} holds other outputs" in said
    assert "seed is 1, wanted is null; views is 2, wanted is 5; layers is" in said
    assert '{"conv": [2, 1]}, wanted is {"conv": [2, 1], "fc": [9]}' in said
    assert "teacher is" not in said and "classes is" not in said
    assert load(tmp_path / "a", manifest()).arrays["logits"][0, 0, 0] == 600


@pytest.mark.parametrize(
    "part", ["teacher", "data", "seed", "views", "samples", "classes", "logits", "layers", "format"]
)
def test_each_part_tells_manifests_apart(part: str) -> None:
    other = {"logits": 2, "layers": {"conv": (1, 2)}}.get(part, 7)
    one, two = manifest(), manifest(**{part: other})
    assert one.key != two.key == manifest(**{part: other}).key
    assert len(one.differences(two.parts)) == 1 and not two.differences(two.parts)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [flip, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["logits.npy", "feature_0.npy"])
def test_damage_names_the_folder_to_delete(
    harm: Callable[[Path], object], name: str, tmp_path: Path
) -> None:
    load_or_make(tmp_path / "a", manifest(), number)
    harm(tmp_path / "a" / name)
    with pytest.raises(DamagedError, match=f"{name} is damaged; delete the folder {tmp_path}/a"):
        load_or_make(tmp_path / "a", manifest(), number)


def test_a_damaged_manifest_is_damage(tmp_path: Path) -> None:
    load_or_make(tmp_path / "a", manifest(), number)
    path = tmp_path / "a" / "manifest.json"
    whole = json.loads(path.read_text())
    for content in ("{", json.dumps(whole | {"sha256": {}}), json.dumps(whole | {"sha256": 3})):
        path.write_text(content)
        with pytest.raises(DamagedError, match="delete the folder"):
            load_or_make(tmp_path / "a", manifest(), number)


def test_nothing_of_the_users_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("…")
    (tmp_path / "file").write_text("…")
    for name in ("mine", "file"):
        with pytest.raises(DamagedError, match=r"something else.*teacher\.cache\.folder"):
            load_or_make(tmp_path / name, manifest(), number)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "…"
    (tmp_path / "empty").mkdir()
    assert load_or_make(tmp_path / "empty", manifest(), number).arrays


def test_a_half_written_one_is_never_read(tmp_path: Path) -> None:
    def killed(arrays: Any) -> None:
        number(arrays)
        raise Killed

    with pytest.raises(Killed):
        load_or_make(tmp_path / "a", manifest(), killed)
    assert not (tmp_path / "a").exists()
    (tmp_path / ".a.draft").mkdir()
    (tmp_path / ".a.draft" / "manifest.json").write_text(json.dumps(manifest().parts))
    assert load_or_make(tmp_path / "a", manifest(), number).arrays["logits"][0, 0, 0] == 600
    assert sorted(p.name for p in tmp_path.iterdir()) in (["a"], ["a", "a.lock"])


def test_whoever_comes_second_waits_and_reads(tmp_path: Path) -> None:
    made, begun = [], threading.Event()

    def slowly(arrays: Any) -> None:
        begun.set()
        made.append(threading.get_ident())
        threading.Event().wait(0.3)
        number(arrays)

    first = threading.Thread(target=load_or_make, args=(tmp_path / "a", manifest(), slowly))
    first.start()
    assert begun.wait(10)
    found = load_or_make(tmp_path / "a", manifest(), slowly)
    first.join()
    assert len(made) == 1 and found.arrays["logits"][0, 0, 0] == 600


def test_a_full_disk_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(disk_file.shutil, "disk_usage", lambda _: usage(10, 9, 1))
    with pytest.raises(CondenserError, match="144 bytes.*has 1 left.*float16"):
        load_or_make(tmp_path / "a", manifest(), number)


# Whose they are


def test_the_digest_is_of_the_network_alone() -> None:
    one, same = Counting(), Counting()
    same.to(memory_format=torch.channels_last).train()
    one.asked, same.asked = [], []
    assert digest(one) == digest(same)
    same.fc1.bias[0] += 1e-7
    assert digest(one) != digest(same)
    assert digest(Counting(2)) != digest(one)


def test_the_digest_sees_what_no_tensor_holds() -> None:
    from condenser.checkpoint.input_adapter import InputAdapter
    from condenser.distill.ensemble import Ensemble

    def strided(by: int) -> nn.Module:
        torch.manual_seed(0)
        return nn.Conv2d(1, 1, 3, stride=by)

    def seen_through(mean: float) -> nn.Module:
        model = Counting()
        InputAdapter([1, 8, 8], [[mean], [1.0]], [[0.0], [1.0]]).apply(model)
        return model

    def with_function(function: Callable[[Tensor], Tensor]) -> nn.Module:
        model: Any = Counting()
        model.act = function
        return model

    def voting(*weights: float) -> nn.Module:
        return Ensemble([Counting(1), Counting(2)], weights)

    assert digest(strided(1)) != digest(strided(2))
    assert digest(seen_through(0.1)) == digest(seen_through(0.1)) != digest(seen_through(0.2))
    assert digest(with_function(torch.relu)) != digest(with_function(torch.tanh))
    assert digest(voting(0.5, 0.5)) == digest(voting(0.5, 0.5)) != digest(voting(0.3, 0.7))


def test_a_named_folder_of_another_teacher_is_refused(tmp_path: Path) -> None:
    named = Cache(folder=str(tmp_path / "mine"))
    made = asked(Counting(1), data(), named)
    assert torch.equal(asked(Counting(1), data(), named).arrays["logits"], made.arrays["logits"])
    with pytest.raises(CondenserError, match=r"holds other outputs.*teacher is .*, wanted is"):
        asked(Counting(2), data(), named)
    with pytest.raises(CondenserError, match="seed is 3, wanted is 4"):
        asked(Counting(1), data(seed=4), named)
    with pytest.raises(CondenserError, match="data is"):
        asked(Counting(1), data(views=3), named)


# Settings


@pytest.mark.parametrize(
    ("source", "names", "cache", "cache_dir", "place"),
    [
        (data, (), Cache(), True, "disk"),
        (data, (), Cache(), False, "memory"),
        (partial(data, views=None), (), Cache(), True, None),  # a new view each epoch
        (partial(data, views=EPOCHS + 1), (), Cache(), True, None),  # some would never be shown
        (partial(data, views=EPOCHS + 1), (), Cache("memory"), True, "memory"),
        (partial(data, views=None, augment=False), (), Cache(), True, "disk"),
        (data, ("conv2",), Cache(), True, None),
        (data, ("conv2",), Cache(features=True), True, "disk"),
        (data, (), Cache("none"), True, None),
    ],
)
def test_auto_keeps_what_costs_nothing(
    source: Any, names: Any, cache: Cache, cache_dir: bool, place: str | None, tmp_path: Path
) -> None:
    kept = asked(Counting(), source(), cache, *names, cache_dir=tmp_path if cache_dir else None)
    assert (kept is not None) == (place is not None)
    assert bool(list(tmp_path.glob("outputs-*/"))) == (place == "disk")


def test_auto_keeps_no_more_than_fits() -> None:
    assert Cache().place(1, 2**30, 10, True) == "disk"
    assert Cache().place(1, 2**30 + 1, 10, True) == "none"
    assert Cache("disk").place(99, 2**40, 10, True) == "disk"
    assert Cache(folder="x").place(99, 2**40, 10, False) == "disk"


@pytest.mark.parametrize("cache", [Cache("disk"), Cache("memory"), Cache(folder="x")])
def test_new_images_every_epoch_cannot_be_kept(cache: Cache) -> None:
    with pytest.raises(ConfigError, match=r"teacher\.cache\.keep=.*data\.views=8"):
        cache.check(data(views=None))
    cache.check(data(views=8))
    cache.check(fixed())


def test_features_are_kept_only_when_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"teacher\.cache\.features=false.*conv2"):
        Cache("disk").check(data(), ["conv2"])
    Cache("disk", features=True).check(data(), ["conv2"])


def test_a_teacher_drawn_in_every_step_is_not_kept() -> None:
    from condenser.distill.ensemble import Ensemble

    drawn = Ensemble([Counting(1), Counting(2)], None)
    assert asked(drawn, data(), Cache()) is None
    assert noted(LIVE, data(), teacher=drawn, dropout=0).stochastic  # seeded in every step
    with pytest.raises(ConfigError, match="drawn in every step"):
        asked(drawn, data(), Cache("memory"))
    assert asked(Ensemble([Counting(1), Counting(2)], [0.3, 0.7]), data(), Cache("memory"))


def test_the_largest_few_of_labels_mean_nothing() -> None:
    def labelled(_: object) -> Arrays:
        targets = torch.arange(60).view(20, 3).remainder(2).float()
        return Arrays(torch.zeros(20, 1, 8, 8, dtype=torch.uint8), targets)

    source = DataModule("labels", labelled, batch_size=5, mean=[0.0], std=[1.0])
    with pytest.raises(ConfigError, match=r"teacher\.cache\.logits=2.*multilabel"):
        Cache(logits=2).check(source)
    Cache(logits="float16").check(source)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"keep": "disc"}, r"teacher\.cache\.keep=disc.*did you mean disk"),
        ({"logits": "float8"}, r"teacher\.cache\.logits=float8"),
        ({"logits": 0}, r"teacher\.cache\.logits=0"),
        ({"logits": True}, r"teacher\.cache\.logits=true"),
        ({"features": 1}, r"teacher\.cache\.features=1"),
        ({"keep": "none", "folder": "x"}, r"teacher\.cache\.folder=x.*keep=none"),
        ({"keep": "memory", "folder": "x"}, r"teacher\.cache\.folder=x.*keep=memory"),
    ],
)
def test_settings_that_mean_nothing(settings: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Cache(**settings)


def test_as_many_logits_as_there_are_is_not_fewer() -> None:
    with pytest.raises(ConfigError, match=r"teacher\.cache\.logits=10.*fewer.*10"):
        asked(Counting(), data(), Cache("memory", 10))
    nine = asked(Counting(), data(), Cache("memory", 9))(torch.tensor([4]), 0).logits
    torch.testing.assert_close(nine, said(Counting(), data(), 0)[4:5])


def test_disk_wants_a_place() -> None:
    with pytest.raises(ConfigError, match=r"teacher\.cache\.folder=null"):
        asked(Counting(), data(), Cache("disk"))
