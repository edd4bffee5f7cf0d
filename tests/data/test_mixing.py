"""Mixtures, transforms by name, balance and the cache of decoded images: functions of (seed, index,
view), whatever the batch, the rank or the worker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from running import run_in
from safetensors.torch import load_file
from torch import Tensor

from condenser import data
from condenser.data import CutMix, DataModule, HorizontalFlip, Mixup, Shuffled, Transform, uniform
from condenser.data.image_cache import pixels_of
from condenser.errors import CondenserError, ConfigError
from condenser.tasks import Multiclass

SET = data.synthetic(n=90, shape=(3, 8, 8), num_classes=5)


def module(made: Any = SET, **own: Any) -> DataModule:
    return DataModule("synthetic", lambda root: made, batch_size=16, **own)


def epoch(loader: Shuffled, number: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Images and targets of an epoch, by index."""
    batches = list(loader.at(number))
    index = torch.cat([batch.index for batch in batches])
    order = index.argsort(stable=True)
    images, targets = (torch.cat([b[place] for b in batches])[order] for place in (0, 1))
    return images, targets, index[order]


@pytest.mark.parametrize("mix", [Mixup(0.4), CutMix(), Mixup(1.0, p=0.5)], ids=str)
def test_a_mixture_is_a_function_of_seed_index_and_view(mix: Any) -> None:
    whole = module(mix=mix, augment=[HorizontalFlip()])
    images, targets, index = epoch(whole.train_dataloader())
    assert targets.shape == (len(index), 5)
    torch.testing.assert_close(targets.sum(1), torch.ones(len(index)))
    alone = module(mix=mix, augment=[HorizontalFlip()])
    alone.batch_size = 7
    for found, expected in zip(
        epoch(alone.train_dataloader()), (images, targets, index), strict=True
    ):
        assert torch.equal(found, expected), "another batch size, the same samples"
    ranks = []
    for rank in range(3):
        alone.part = (rank, 3)
        ranks.append(epoch(alone.train_dataloader()))
    shared = torch.cat([part[2] for part in ranks]).argsort()
    assert torch.equal(torch.cat([part[0] for part in ranks])[shared], images)
    assert not torch.equal(epoch(whole.train_dataloader(), 3)[0], images)
    assert whole.fingerprint != module(augment=[HorizontalFlip()]).fingerprint
    assert not module(mix=mix).fixed and module(mix=mix, views=1).fixed


def test_mixup_and_cutmix_are_what_their_papers_say() -> None:
    draws = uniform(0, torch.arange(2000), 0, 0, 4)
    ones, zeros = torch.ones(2000, 1, 10, 10), torch.zeros(2000, 1, 10, 10)
    mixed, share = Mixup(0.4)(ones, zeros, draws)
    torch.testing.assert_close(mixed[:, 0, 0, 0], share)
    variance = 1 / (4 * (2 * 0.4 + 1))  # of Beta(α, α)
    assert abs(share.mean() - 0.5) < 0.03 and abs(share.var() - variance) < 0.01
    boxed, left = CutMix()(ones, zeros, draws)
    torch.testing.assert_close(boxed.mean((1, 2, 3)), left)
    assert set(boxed.unique().tolist()) == {0.0, 1.0} and 0.5 < left.mean() < 0.75
    untouched, all_of_it = CutMix(p=0.0)(ones, zeros, draws)
    assert torch.equal(untouched, ones) and bool((all_of_it == 1).all())


def test_a_transform_by_name_depends_on_its_own_draws() -> None:
    images: Any = SET.train.read(torch.arange(6))
    draws = uniform(0, torch.arange(6), 0, 0, Transform.draws)
    one = Transform("RandAugment", magnitude=9)
    before = torch.random.get_rng_state()
    whole = one(images, draws)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(one(images[2:3], draws[2:3])[0], whole[2])
    assert not torch.equal(whole, images) and "magnitude" in repr(one)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: Transform("RandAugmet"),
            "data.augment.name=RandAugmet: unknown; did you mean Rand",
        ),
        (lambda: Transform("MixUp"), "data.augment.name=MixUp: unknown"),
        (lambda: Transform("RandAugment", magnitud=3), "must be settings that it takes"),
        (lambda: Mixup(0), "data.mix.alpha=0"),
        (lambda: CutMix(p=2), "data.mix.p=2"),
        (lambda: module(augment=[Transform("Resize", size=4)]).example(1), ""),
        (
            lambda: module(class_weights=[1.0, 2.0]).setup(),
            "data.class_weights=[1.0, 2.0]: must be",
        ),
    ],
)
def test_settings_that_cannot_be_used(make: Any, said: str) -> None:
    if said:
        with pytest.raises(ConfigError) as error:
            make()
        assert said in str(error.value)
        return
    with pytest.raises(ConfigError, match="a transform that keeps size and type"):
        next(iter(module(augment=[Transform("Resize", size=4)]).train_dataloader()))


def lopsided() -> Any:
    keep = (SET.train.targets != 0) | (torch.arange(90) < 20)
    return SET._replace(train=SET.train.select(keep.nonzero()[:, 0]))


def test_balanced_sampling_shows_every_class_equally_often() -> None:
    sets = module(lopsided(), sampling="balanced", val_fraction=0.0)
    loader = sets.train_dataloader()
    seen = torch.cat([sets.targets[loader.order(epoch)] for epoch in range(40)]).bincount()
    assert sets.targets.bincount()[0] < 10
    assert (seen / seen.sum() - 0.2).abs().max() < 0.02
    assert torch.equal(loader.order(3), loader.order(3))
    assert len(loader.order(0)) == sets.train_size


def test_class_weights_weigh_the_loss_on_labels_and_nothing_measured() -> None:
    sets = module(lopsided(), class_weights="balanced", val_fraction=0.0)
    task, count = sets.weighted_task, sets.targets.bincount().double()
    assert isinstance(task, Multiclass) and task.weights is not None
    torch.testing.assert_close(
        torch.tensor(task.weights).double() * count, (count.sum() / 5).expand(5)
    )
    logits, target = torch.randn(12, 5), torch.arange(12) % 5
    expected = torch.nn.CrossEntropyLoss(torch.tensor(task.weights))(logits, target)
    torch.testing.assert_close(task.hard_loss(logits, target), expected)
    assert sets.task == Multiclass(5)


def test_training_on_mixtures_is_refused_where_it_has_no_meaning(
    tmp_path: Path,
) -> None:
    words = ("recipe=distill", "data.limit=200", "data.mix={_target_:condenser.data.Mixup}")
    words = (*words, "data.sampling=balanced", "data.class_weights=balanced")
    record = run_in(tmp_path, *words, "data.augment=[{_target_:condenser.data.Shift}]")[-1]
    assert record["stage"] == "distill"
    with pytest.raises(
        CondenserError, match="data.mix=.*: must be null with distill=dkd, which nee"
    ):
        run_in(tmp_path, *words, "distill=dkd", run="dkd")


def test_mixtures_are_cached_by_index_and_view(tmp_path: Path) -> None:
    """A teacher's outputs for mixed images are the same from the cache and live."""
    words = ("recipe=distill", "data.limit=100", "data.views=2", "optim.epochs=3")
    words = (*words, "data.mix={_target_:condenser.data.CutMix}", "data.sampling=balanced")
    made = []
    for keep in ("none", "memory"):
        record = run_in(tmp_path / keep, *words, f"teacher.cache.keep={keep}")[-1]
        made.append(load_file(entry(tmp_path / keep, record)))
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])


def entry(folder: Path, record: Any) -> Path:
    return folder / f".store/distill-{record['key']}/weights.safetensors"


# --- decoded images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for row in range(6):
            shape = (9 + row, 12, 3)
            pixels = draw.integers(0, 255, shape).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{row}.png")
    return tmp_path


def views(sets: Any) -> list[Tensor]:
    index = torch.arange(len(sets.train.targets))
    return [sets.train.read(index), *sets.train.stream([index], 5, 1)]


def cached_files() -> list[Path]:
    return sorted((Path(os.environ["CONDENSER_CACHE"]) / "images").glob("*.pixels"))


def test_cached_pixels_are_the_files_bit_for_bit_and_decoded_once(
    folder: Path, tmp_path_factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDENSER_CACHE", str(tmp_path_factory.mktemp("cache")))
    plain = data.imagefolder(folder, size=6, resize=8, cache_gib=0.0)
    assert not cached_files()
    expected = views(plain)
    kept = data.imagefolder(folder, size=6, resize=8)
    (file,) = cached_files()
    assert file.stat().st_size == 2 * sum((9 + row) * 12 * 3 for row in range(6))
    monkeypatch.setattr("condenser.data.folder.decode", lambda *_: pytest.fail("decoded again"))
    assert all(torch.equal(a, b) for a, b in zip(views(kept), expected, strict=True))
    monkeypatch.undo()


def test_a_damaged_or_changed_cache_costs_time_only(
    folder: Path, tmp_path_factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDENSER_CACHE", str(tmp_path_factory.mktemp("cache")))
    expected = views(data.imagefolder(folder, size=6, resize=8))
    (file,) = cached_files()
    with open(file, "r+b") as handle:
        handle.write(b"\x01" * 500)
    assert all(
        torch.equal(a, b)
        for a, b in zip(views(data.imagefolder(folder, size=6, resize=8)), expected, strict=True)
    )
    file.with_suffix(".places.json").write_text("[]")
    assert data.imagefolder(folder, size=6, resize=8).train.pixels is None  # type: ignore[attr-defined]


def test_the_cache_is_bounded(
    folder: Path, tmp_path_factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDENSER_CACHE", str(tmp_path_factory.mktemp("cache")))
    from condenser.data.contents import examine

    paths = [f"{name}/{row}.png" for name in "ab" for row in range(6)]
    pictures, _ = examine(folder, paths)
    total = sum(p.width * p.height * 3 for p in pictures.values())
    assert pixels_of(folder, pictures, "RGB", 1, total - 1) is None
    assert pixels_of(folder, pictures, "RGB", 1, total) is not None
    first = cached_files()
    few = {path: pictures[path] for path in paths[:4]}
    assert pixels_of(folder, few, "RGB", 1, total) is not None
    assert len(cached_files()) == 1 and cached_files() != first, "the older set went"
