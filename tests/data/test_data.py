"""Batches are a function of (seed, epoch, step); nothing else is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from condenser import data
from condenser.data import (
    Affine,
    Arrays,
    Batch,
    DataModule,
    HorizontalFlip,
    Normalise,
    RandomCrop,
    Shift,
    Shuffled,
    Splits,
    digits,
    imagefolder,
    key,
    synthetic,
    uniform,
)
from condenser.data.counter_rng import mix
from condenser.data.prepare import prepare
from condenser.data.split import cut, stratified_order
from condenser.errors import ConfigError, DamagedError
from condenser.tasks import Binary, Multiclass, Multilabel

SMALL = partial(synthetic, n=100, shape=(3, 6, 6), num_classes=5)
AUGMENT = (RandomCrop(2), HorizontalFlip())
MEAN = (0.5,) * 3


def module(source: Any = SMALL, **settings: Any) -> DataModule:
    return DataModule("set", source, **{"batch_size": 16, "augment": AUGMENT, **settings})


def same(left: list[Batch], right: list[Batch]) -> bool:
    return len(left) == len(right) and all(
        torch.equal(a, b)
        for one, other in zip(left, right, strict=True)
        for a, b in zip(one, other, strict=True)
    )


# --- randomness


def test_mix_is_splitmix64() -> None:
    gamma = 0x9E3779B97F4A7C15  # the reference generator's first two numbers from seed 1234567
    assert mix(1234567 + gamma) == 6457827717110365317
    assert mix(1234567 + 2 * gamma) == 3203168211198807973


@pytest.mark.parametrize(
    ("seed", "index", "view", "stream", "bits"),
    [
        (0, 0, 0, 0, [7908954, 12159322, 5084014]),
        (7, 5, 3, 1, [12530161, 14836194, 8813164]),
        (7, 59999, 3, 1, [2763623, 8290286, 6467749]),
        (123456789012, 1, 200, 2, [2821524, 11445641, 14076035]),
    ],
)
def test_uniform_has_golden_values(
    seed: int, index: int, view: int, stream: int, bits: list[int]
) -> None:
    """Computed with Python integers, apart from the code."""
    drawn = uniform(seed, torch.tensor([11, index]), view, stream, 3)[1]
    assert drawn.dtype == torch.float32
    assert drawn.mul(2**24).tolist() == bits


def test_keys_keep_the_order_and_the_number_of_words() -> None:
    assert key(7, 3) == 17670481865470212032
    assert key(-1) == 16490336266968443936
    assert len({key(1, 2), key(2, 1), key(1), key(1, 0), key(0, 1), key(1, 2, 0)}) == 6


@pytest.mark.parametrize("varied", ["seed", "index", "view", "stream"])
def test_uniform_is_uniform_along_every_argument(varied: str) -> None:
    """Moments and neighbours' correlation within 5 standard errors; flat histogram (χ², 63 df)."""
    n = 2048
    if varied == "index":
        drawn = uniform(3, torch.arange(n), 1, 2, 2)
    else:
        fixed = {"seed": 3, "view": 1, "stream": 2}
        calls = [
            uniform(**{**fixed, varied: i}, index=torch.tensor([9]), count=2) for i in range(n)
        ]
        drawn = torch.cat(calls)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    for values in (drawn[:, 0], drawn[:, 1]):
        centred = values.double() - 0.5
        assert centred.mean().abs() < 5 * (1 / 12 / n) ** 0.5
        assert (centred.square().mean() - 1 / 12).abs() < 5 * (1 / 180 / n) ** 0.5
        assert (centred[1:] * centred[:-1]).mean().abs() < 5 / 12 / n**0.5
        counts = values.mul(64).long().bincount(minlength=64).double()
        assert (counts - n / 64).square().sum() / (n / 64) < 63 + 5 * 126**0.5
    assert ((drawn[:, 0] - 0.5) * (drawn[:, 1] - 0.5)).mean().abs() < 5 / 12 / n**0.5


# --- augmentation


def moved(image: np.ndarray, top: int, left: int, pad: int, mode: str) -> np.ndarray:
    padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)), mode=mode)  # type: ignore[call-overload]
    return padded[:, top : top + image.shape[1], left : left + image.shape[2]]


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 7, 5)])
@pytest.mark.parametrize(
    ("augmentation", "pad", "mode"),
    [
        (RandomCrop(3), 3, "constant"),
        (RandomCrop(4, mode="reflect"), 4, "reflect"),
        (RandomCrop(0, mode="reflect"), 0, "reflect"),
        (Shift(2), 2, "constant"),
    ],
)
def test_crop_and_shift_equal_a_loop(
    augmentation: Any, pad: int, mode: str, shape: tuple[int, ...]
) -> None:
    images = torch.randint(0, 256, (300, *shape), dtype=torch.uint8)
    drawn = uniform(0, torch.arange(300), 0, 0, 2)
    drawn[0], drawn[1] = 0.0, 1 - 2.0**-24  # both ends
    result = augmentation(images, drawn).numpy()
    corners = np.floor(drawn.numpy() * np.float32(2 * pad + 1)).astype(int)
    assert corners.min() == 0 and corners.max() == 2 * pad
    for before, after, (top, left) in zip(images.numpy(), result, corners, strict=True):
        np.testing.assert_array_equal(after, moved(before, top, left, pad, mode))


def test_flip_equals_a_loop() -> None:
    images = torch.randint(0, 256, (64, 3, 4, 5), dtype=torch.uint8)
    drawn = uniform(0, torch.arange(64), 0, 0, 1)
    result = HorizontalFlip(p=0.3)(images, drawn).numpy()
    for before, after, u in zip(images.numpy(), result, drawn[:, 0].tolist(), strict=True):
        np.testing.assert_array_equal(after, before[:, :, ::-1] if u < 0.3 else before)


def test_an_augmented_image_does_not_depend_on_its_batch() -> None:
    whole = module(batch_size=90, seed=4)
    parts = module(batch_size=7, seed=4)
    at_once = next(iter(whole.train_dataloader()))
    for batch in parts.train_dataloader():
        for image, index in zip(batch.image, batch.index, strict=True):
            assert torch.equal(image, at_once.image[at_once.index == index][0])


def test_normalise_is_what_torchvision_does() -> None:
    from torchvision.transforms.v2.functional import normalize

    images = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    mean, std = [0.1, 0.5, 0.9], [0.2, 0.3, 0.4]
    expected = normalize(images.double() / 255, mean, std)
    torch.testing.assert_close(Normalise(mean, std)(images).double(), expected, atol=1e-5, rtol=0)


# --- order


def test_batches_are_a_function_of_seed_and_epoch() -> None:
    first, again = (list(module(seed=1).train_dataloader().at(3)) for _ in range(2))
    assert same(first, again)
    torch.manual_seed(123)  # whatever the global generator does
    assert same(first, list(module(seed=1).train_dataloader().at(3)))
    for other in (module(seed=2).train_dataloader().at(3), module(seed=1).train_dataloader().at(4)):
        order = torch.cat([batch.index for batch in other])
        assert not torch.equal(order, torch.cat([batch.index for batch in first]))
        assert torch.equal(order.sort().values, torch.arange(90))


def test_iterating_asks_for_the_epoch_and_leaves_the_global_generator_alone() -> None:
    sets = module()
    state = torch.get_rng_state()
    for epoch in (0, 5):
        sets.epoch = epoch
        loader = sets.train_dataloader()
        assert same(list(loader), list(loader.at(epoch)))
        assert len(list(loader)) == len(loader) == 6
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("step", range(8))
def test_starting_at_a_step_skips_the_batches_before_it(step: int) -> None:
    loader = module().train_dataloader()
    whole = list(loader.at(2))
    assert same(list(loader.at(2, step)), whole[step:])


def test_views_repeat_the_images_but_not_the_order() -> None:
    def by_index(batches: Any) -> Tensor:
        images, _, index = (torch.cat(parts) for parts in zip(*batches, strict=True))
        return images[index.argsort()]

    loader = module(views=2).train_dataloader()
    first, second, third = (by_index(loader.at(epoch)) for epoch in range(3))
    assert torch.equal(first, third) and not torch.equal(first, second)
    assert not torch.equal(loader.order(0), loader.order(2))


@pytest.mark.parametrize(("world", "drop_last"), [(1, False), (2, False), (4, False), (4, True)])
def test_ranks_share_out_the_epoch(world: int, drop_last: bool) -> None:
    samples = SMALL().train
    ranks = [
        Shuffled(samples, 8, Normalise([0] * 3, [1] * 3), 0, rank=rank, world_size=world)
        for rank in range(world)
    ]
    ranks = [replace(rank, drop_last=drop_last) for rank in ranks]
    steps = [[batch.index for batch in rank] for rank in ranks]
    seen = torch.cat([index for one in steps for index in one])
    assert {len(one) for one in steps} == {len(ranks[0])}
    assert len(seen.unique()) == len(seen) == (96 if drop_last else 100)
    together = torch.stack([torch.cat(one) for one in steps], 1).flatten()
    alone = Shuffled(samples, 8, ranks[0].normalise, 0).order(0)
    assert torch.equal(together, alone[: len(together)])


class Watcher:
    """A Lightning module and callback that keep what they saw and a checkpoint of every step."""

    def __init__(self, folder: Path | None) -> None:
        import pytorch_lightning as pl

        seen: list[Tensor] = []

        class Model(pl.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.net = torch.nn.Linear(108, 5)

            def training_step(self, batch: Batch, step: int) -> Tensor:
                seen.append(batch.image.clone())
                return torch.nn.functional.cross_entropy(
                    self.net(batch.image.flatten(1)), batch.target
                )

            def validation_step(self, batch: Batch, step: int) -> None:
                assert not torch.is_grad_enabled()

            def configure_optimizers(self) -> torch.optim.Optimizer:
                return torch.optim.SGD(self.parameters(), 0.01)

        class Save(pl.Callback):
            def on_train_batch_end(self, trainer: Any, *rest: Any) -> None:
                if folder:
                    trainer.save_checkpoint(folder / f"{len(seen)}.ckpt")

        self.seen, self.model, self.callback = seen, Model(), Save()

    def fit(self, sets: DataModule, checkpoint: Path | None = None) -> Watcher:
        import pytorch_lightning as pl

        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = pl.Trainer(
            max_epochs=2,
            accelerator="cpu",
            enable_checkpointing=False,
            callbacks=[self.callback],
            **quiet,  # type: ignore[arg-type]
        )
        trainer.fit(self.model, datamodule=sets, ckpt_path=checkpoint, weights_only=True)
        return self


@pytest.mark.filterwarnings("ignore")
def test_lightning_goes_on_where_a_checkpoint_was_written(tmp_path: Path) -> None:
    """Also at the last step of an epoch, where other stateful loaders lose or repeat one."""
    torch.manual_seed(0)
    whole = Watcher(tmp_path).fit(module(batch_size=32))
    loader = module(batch_size=32).train_dataloader()
    expected = [batch.image for epoch in range(2) for batch in loader.at(epoch)]
    assert len(whole.seen) == 6 and all(map(torch.equal, whole.seen, expected))
    for step in range(1, 6):
        rest = Watcher(None).fit(module(batch_size=32), tmp_path / f"{step}.ckpt")
        assert len(rest.seen) == 6 - step
        assert all(map(torch.equal, rest.seen, expected[step:]))
        assert torch.equal(rest.model.net.weight, whole.model.net.weight)


# --- parts


def test_stratified_prefixes_hold_the_classes_in_proportion() -> None:
    targets = torch.tensor([0] * 70 + [1] * 20 + [2] * 10)[torch.randperm(100)]
    order = stratified_order(targets, seed=5)
    assert torch.equal(order.sort().values, torch.arange(100))
    for size in range(1, 101):
        held = targets[order[:size]].bincount(minlength=3).double()
        assert (held - size * torch.tensor([0.7, 0.2, 0.1])).abs().max() <= 1
    assert not torch.equal(order, stratified_order(targets, seed=6))


def test_combinations_of_labels_are_strata() -> None:
    """Each row of labels as a class, wherever its number stands."""
    rows = torch.tensor([[0.0, 0, 1], [1, 1, 0], [1, 0, 0]])
    which = torch.tensor([0] * 70 + [1] * 20 + [2] * 10)[torch.randperm(100)]
    order = stratified_order(rows[which], seed=5)
    assert torch.equal(order.sort().values, torch.arange(100))
    for size in range(1, 101):
        held = which[order[:size]].bincount(minlength=3).double()
        assert (held - size * torch.tensor([0.7, 0.2, 0.1])).abs().max() <= 1


def test_a_class_of_one_stays_in_training() -> None:
    kept, held_out = cut(torch.tensor([0] * 9 + [1]), 0.3, seed=0)
    assert 9 in kept.tolist() and len(held_out) == 3


def test_parts_are_disjoint_cover_the_set_and_are_the_same_for_every_run_seed() -> None:
    runs = [module(digits, seed=seed, augment=()).parts for seed in (0, 1)]
    parts = [(run.train, run.val, run.test) for run in runs]
    assert [len(part.targets) for part in parts[0]] == [1294, 144, 359]
    for one, other in zip(*parts, strict=True):
        assert torch.equal(one.read(torch.arange(100)), other.read(torch.arange(100)))
        assert torch.equal(one.targets, other.targets)
        shares = one.targets.bincount() / len(one.targets)
        assert (shares - 0.1).abs().max() < 0.01
    together = torch.cat([part.read(torch.arange(len(part.targets))) for part in parts[0]])
    source = digits()
    expected = torch.cat(
        [source.train.read(torch.arange(1438)), source.test.read(torch.arange(359))]
    )
    assert sorted(map(bytes, together.numpy())) == sorted(map(bytes, expected.numpy()))
    assert len({bytes(image) for image in together.numpy()}) == 1797  # all differ, so disjoint


def test_digits_are_scaled_to_bytes() -> None:
    assert set(digits().train.read(torch.arange(1438)).unique().tolist()) == {
        round(255 * value / 16) for value in range(17)
    }


def test_limit_is_stratified_and_nested_and_leaves_validation_alone() -> None:
    small, large = module(limit=10), module(limit=50)
    assert small.parts.train.targets.bincount().tolist() == [2] * 5
    held = {bytes(image) for image in large.parts.train.read(torch.arange(50)).numpy()}
    assert {bytes(image) for image in small.parts.train.read(torch.arange(10)).numpy()} < held
    assert torch.equal(small.parts.val.targets, module().parts.val.targets)
    assert small.mean == module().mean


def test_omitted_classes_are_missing_from_training_alone() -> None:
    whole, part = module(), module(omit=[1, "3"])
    expected = whole.parts.train.targets.bincount()
    expected[[1, 3]] = 0
    assert part.parts.train.targets.bincount(minlength=5).tolist() == expected.tolist()
    assert torch.equal(part.parts.val.targets, whole.parts.val.targets)
    assert part.task == whole.task and part.mean == whole.mean
    assert part.fingerprint != whole.fingerprint == module(omit=[]).fingerprint
    few = module(omit=[1], limit=8).parts.train.targets
    assert few.bincount(minlength=5).tolist() == [2, 0, 2, 2, 2]


def test_fixed_says_whether_epochs_show_the_same_images() -> None:
    for sets in (module(), module(augment=()), module(views=1), module(views=2)):
        loader = sets.train_dataloader()
        first, second = (torch.cat([batch.image for batch in loader.at(epoch)]) for epoch in (0, 1))
        order = [loader.order(epoch).argsort() for epoch in (0, 1)]
        assert sets.fixed == torch.equal(first[order[0]], second[order[1]])


def test_whole_train_is_every_image_once() -> None:
    sets = module(drop_last=True)
    assert len(torch.cat([batch.index for batch in sets.whole_train()]).unique()) == sets.train_size


def test_no_validation() -> None:
    sets = module(val_fraction=0)
    assert len(sets.parts.train.targets) == 100 and len(list(sets.val_dataloader())) == 0


def test_evaluation_is_whole_in_order_and_not_augmented() -> None:
    sets = module(eval_batch_size=7)
    batches = list(sets.test_dataloader())
    assert len(batches) == len(sets.test_dataloader()) == 3
    image, target, index = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert torch.equal(index, torch.arange(20)) and torch.equal(target, sets.parts.test.targets)
    assert torch.equal(image, Normalise(sets.mean, sets.std)(sets.parts.test.read(index)))


def test_measured_normalisation_gives_mean_0_and_std_1() -> None:
    images = module(val_fraction=0).calibration(100)
    assert images.mean((0, 2, 3)).abs().max() < 1e-5
    assert (images.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5


def test_example_and_calibration_are_real_and_repeat() -> None:
    sets = module()
    assert sets.example(2).shape == (2, *sets.input_shape) == (2, 3, 6, 6)
    plain = {bytes(image.numpy()) for image in sets.calibration(90)}
    assert {bytes(image.numpy()) for image in sets.example(3)} < plain and len(plain) == 90
    assert torch.equal(sets.calibration(20), module(seed=9).calibration(20))
    with pytest.raises(ValueError, match="n=91: must be 1 to 90"):
        sets.calibration(91)


def sorted_by_class(root: object) -> Splits:
    splits = synthetic(root, n=2000, num_classes=5)
    train: Any = splits.train
    return splits._replace(train=train.select(train.targets.argsort()))


def test_parts_of_a_sample_hold_every_class_though_the_set_is_sorted() -> None:
    sets = module(sorted_by_class, augment=())
    parts = list(sets.in_parts(1000))
    assert [len(targets) for _, targets in parts] == [250] * 4
    for _, targets in parts:
        assert all(abs(count - 50) <= 1 for count in targets.bincount(minlength=5))
    images = torch.cat([images for images, _ in parts])
    assert torch.equal(images, sets.sample(1000)[0])
    assert torch.equal(images[:100], sets.sample(100)[0])


# --- fingerprint


def test_fingerprint_is_the_same_for_the_same_data() -> None:
    assert module(seed=0).fingerprint == module(seed=1, batch_size=3).fingerprint


@pytest.mark.parametrize(
    ("settings", "first"),
    [
        ({}, "8811bfa837bb3f39c9024a8a9960ee595b074ed4aa5ba198ff1872a937011315"),
        (
            {"mean": [0.5], "std": [0.25], "limit": 100},
            "6a444a3a71d379f0cc821618c1d12dab091e2ad76e3d8f01f343f5bcfd8aedf6",
        ),
    ],
)
def test_the_fingerprint_of_digits_is_what_it_always_was(
    settings: dict[str, Any], first: str
) -> None:
    """As noted for recipe version 6: what is stored under it is found again."""
    assert module(digits, augment=(), **settings).fingerprint == first


def test_fingerprint_sees_the_task() -> None:
    """One column may be an answer, or a single label, which other numbers are measured of."""

    def of(task: str) -> str:
        whole: Any = SMALL()
        train, test = (Arrays(p.images, (p.targets == 0).float()[:, None]) for p in whole[:2])
        split = Splits(train, test, ["first"], task)
        return module(lambda root: split, augment=()).fingerprint

    assert of("binary") == of("binary") != of("multilabel")


@pytest.mark.parametrize(
    "change",
    [
        {"augment": (RandomCrop(1), HorizontalFlip())},
        {"augment": AUGMENT[::-1]},
        {"views": 3},
        {"limit": 90},
        {"mean": [0.5] * 3},
        {"std": [0.5] * 3},
        {"split_seed": 1},
        {"val_fraction": 0.2},
        {"source": partial(SMALL, seed=1)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_fingerprint_changes_with(change: dict[str, Any]) -> None:
    assert module(**change).fingerprint != module().fingerprint


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("what", ["images", "targets"])
def test_fingerprint_sees_a_single_value(part: str, what: str) -> None:
    def altered(root: object) -> Any:
        loaded = SMALL()
        arrays = getattr(loaded, part)
        values = getattr(arrays, what).clone()
        values.view(-1)[-1] = (values.view(-1)[-1] + 1) % 5
        return loaded._replace(**{part: replace(arrays, **{what: values})})

    given = {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert module(altered, **given).fingerprint != module(**given).fingerprint


def test_bare_arrays_will_do() -> None:
    whole = SMALL().train
    assert isinstance(whole, Arrays)
    sets = module(lambda root: whole)
    assert [len(p.targets) for p in (sets.parts.train, sets.parts.val, sets.parts.test)] == [
        72,
        8,
        20,
    ]
    assert sets.num_classes == 5 and sets.task == Multiclass(5)
    assert torch.equal(sets.targets, sets.parts.train.targets)


@pytest.mark.parametrize("count", [1, 3])
def test_bare_arrays_of_labels_will_do(count: int) -> None:
    whole: Any = SMALL().train
    targets = torch.stack([whole.targets == number for number in range(count)], dim=1).float()
    sets = module(lambda root: Arrays(whole.images, targets))
    assert sets.task == (Binary(1) if count == 1 else Multilabel(3))
    assert sets.num_classes == count and sets.targets.shape == (72, count)
    batch = next(iter(sets.train_dataloader()))
    assert batch.target.shape == (16, count) and batch.target.dtype == torch.float32
    assert torch.equal(batch.target, sets.targets[batch.index])
    assert sets.parts.val.targets[:, 0].sum() in (1, 2)  # a fifth of 8


@pytest.mark.parametrize(
    ("targets", "allowed"),
    [
        (torch.zeros(4), r"torch.int64 \(5,\) or \(5, length\), or torch.float32 \(5, labels\)"),
        (torch.zeros(4, dtype=torch.int64), r"torch.int64 \(5,\)"),
        (torch.zeros(5, 2, 2, dtype=torch.int64), r"torch.float32 \(5, labels\)"),
        (torch.full((5, 2), 0.5), "must be 0 and 1"),
        (torch.full((5, 2), torch.nan), "must be 0 and 1"),
    ],
)
def test_targets_that_are_none(targets: Tensor, allowed: str) -> None:
    with pytest.raises(ValueError, match=allowed):
        Arrays(torch.zeros(5, 1, 2, 2, dtype=torch.uint8), targets)


@pytest.mark.parametrize(
    ("task", "names", "message"),
    [
        ("multiclass", 4, "data.source=multiclass with targets torch.int64 .* below the number of"),
        ("multilabel", 5, "data.source=multilabel with .* must be torch.float32 .*are 5 names"),
        ("binary", 2, "data.classes=2 names: must be one name"),
        (
            "labels",
            5,
            "data.task=labels: unknown; did you mean multilabel",
        ),
    ],
)
def test_targets_that_do_not_fit_the_task(task: str, names: int, message: str) -> None:
    split = SMALL()._replace(task=task, classes=[str(name) for name in range(names)])
    with pytest.raises(ConfigError, match=message):
        module(lambda root: split).setup()


# --- image files


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    from PIL import Image

    generator = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 2)):
        for name in ("cat", "dog"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = generator.integers(0, 256, (20 + i, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path


def files(root: Path, workers: int = 0, **settings: Any) -> DataModule:
    source = partial(imagefolder, size=8, resize=10, num_workers=workers)
    return module(source, root=root, batch_size=4, val_fraction=0.25, **settings)


def test_image_files_do_not_depend_on_workers(tree: Path) -> None:
    state = torch.get_rng_state()
    alone, shared = files(tree), files(tree, workers=2)
    for epoch in (0, 1):
        left, right = (list(sets.train_dataloader().at(epoch)) for sets in (alone, shared))
        assert same(left, right) and left[0].image.shape == (4, 3, 8, 8)
    assert same(list(alone.test_dataloader()), list(shared.test_dataloader()))
    assert torch.equal(torch.get_rng_state(), state)


def test_an_image_file_depends_on_seed_index_and_view_only(tree: Path) -> None:
    def first(sets: DataModule, epoch: int) -> Tensor:
        batches = list(sets.train_dataloader().at(epoch))
        images, _, index = (torch.cat(parts) for parts in zip(*batches, strict=True))
        return images[index == 0]

    views = files(tree, views=2)
    assert torch.equal(first(views, 0), first(views, 2))
    assert not torch.equal(first(views, 0), first(views, 1))
    assert not torch.equal(first(views, 0), first(files(tree, views=2, seed=1), 0))
    loader = views.train_dataloader()
    assert same(list(loader.at(1, 2)), list(loader.at(1))[2:])


def test_copies_of_an_image_file_are_augmented_each_in_its_own_way(tree: Path) -> None:
    one = (tree / "train/cat/0.png").read_bytes()
    for path in tree.glob("train/*/*.png"):
        path.write_bytes(one)
    images = torch.cat([batch.image for batch in files(tree, augment=()).train_dataloader().at(0)])
    assert len({bytes(image.numpy()) for image in images}) == len(images) == 9


def test_image_files_are_split_named_and_fingerprinted(tree: Path) -> None:
    sets = files(tree)
    assert sets.classes == ["cat", "dog"] and sets.input_shape == (3, 8, 8)
    assert [len(p.targets) for p in (sets.parts.train, sets.parts.val, sets.parts.test)] == [
        9,
        3,
        4,
    ]
    before = sets.fingerprint
    assert before == files(tree, workers=2).fingerprint
    (tree / "test/cat/0.png").rename(tree / "test/cat/9.png")
    assert files(tree).fingerprint != before  # another order
    (tree / "test").rename(tree.parent / "elsewhere")
    assert len(files(tree / "train").parts.test.targets) == 2  # one folder of classes: 20 % of 12


def test_image_files_count_by_their_bytes(tree: Path, tmp_path_factory: Any) -> None:
    before = files(tree).fingerprint
    moved = tmp_path_factory.mktemp("elsewhere") / "set"
    tree.rename(moved)
    assert files(moved).fingerprint == before
    for path in moved.glob("train/*/*.png"):
        path.rename(path.with_name(f"a{path.stem}.PNG"))
    assert files(moved).fingerprint == before
    path = moved / "train/dog/a3.PNG"
    state, whole = path.stat(), path.read_bytes()
    path.write_bytes(whole.replace(b"IEND", b"iEND"))  # as long, as old, and decoded alike
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert files(moved).fingerprint != before
    path.write_bytes(whole)
    assert files(moved).fingerprint == before
    (moved / "train/cat").rename(moved / "train/cow")
    (moved / "test/cat").rename(moved / "test/cow")
    assert files(moved).fingerprint != before  # records name the classes


def test_each_image_file_is_decoded_once_until_it_changes(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from condenser.data import contents

    decoded: list[str] = []
    real = contents.decode
    monkeypatch.setattr(
        contents, "decode", lambda path, mode: decoded.append(path.name) or real(path, mode)
    )
    monkeypatch.setattr(contents, "FRESH", -60)  # those of this test are old enough
    before = files(tree).fingerprint
    assert len(decoded) == 16
    assert files(tree).fingerprint == before and len(decoded) == 16
    (tree / "train/cat/1.png").write_bytes((tree / "train/dog/1.png").read_bytes())
    assert files(tree).fingerprint != before and decoded[16:] == ["1.png"]


def test_a_young_image_file_is_not_remembered(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the time that a file system tells apart it may change and look as before."""
    from condenser.data import contents

    monkeypatch.setattr(contents, "FRESH", 3600)
    files(tree).setup()
    assert contents.recall(contents.cache_file(tree)) == {}


@pytest.mark.parametrize("damage", ["cut", "other", "rows", "old", "folder", "gone"])
def test_a_damaged_memory_of_image_files_costs_time_only(
    damage: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from condenser.data import contents

    monkeypatch.setattr(contents, "FRESH", -60)
    before = files(tree).fingerprint
    memory = contents.cache_file(tree)
    text = memory.read_text()
    sha = next(iter(json.loads(text)["files"].values()))[4]
    if damage == "folder":
        memory.unlink()
        memory.mkdir()
    elif damage == "gone":
        memory.unlink()
    else:
        ways = {"cut": text[:-9], "other": "[1, 2]", "rows": text.replace(sha, "0" * 64)}
        memory.write_text(ways.get(damage, text.replace('"pillow": "', '"pillow": "0')))
    assert contents.recall(memory) == {}
    assert files(tree).fingerprint == before


@pytest.mark.parametrize("word", ["val", "valid", "Validation"])
def test_a_validation_part_chooses_where_there_is_a_test_part(word: str, tree: Path) -> None:
    shutil.copytree(tree / "train", tree / word)
    for path in tree.glob(f"{word}/*/[2-9].png"):
        path.unlink()
    parts = files(tree).parts
    assert [len(part.targets) for part in (parts.train, parts.val, parts.test)] == [12, 4, 4]
    assert parts.val.paths[0] == f"{word}/cat/0.png"  # type: ignore[attr-defined]
    (note,) = parts.notes
    assert note.startswith("4 images are in train and val: train/cat/0.png = ")
    shutil.rmtree(tree / "test")
    parts = files(tree).parts  # alone, it is what is measured
    assert [len(part.targets) for part in (parts.train, parts.val, parts.test)] == [9, 3, 4]
    assert parts.test.paths[0] == f"{word}/cat/0.png"  # type: ignore[attr-defined]


def test_the_border_between_parts_is_in_the_fingerprint(tree: Path) -> None:
    """The same files in the same order, one more of them for validation."""
    loaded, place = imagefolder(tree, size=8, resize=10), torch.arange(12)

    def cut_at(border: int) -> str:
        train, val = (loaded.train.select(part) for part in (place[:border], place[border:]))
        return prepare(loaded._replace(train=train, val=val), 0, 0, None, MEAN, MEAN).fingerprint(
            ""
        )

    assert cut_at(8) == cut_at(8) != cut_at(9)


def test_the_same_image_where_it_should_not_be_is_told(tree: Path) -> None:
    assert files(tree).parts.notes == ()
    shutil.copy(tree / "train/cat/1.png", tree / "test/cat/1.png")
    shutil.copy(tree / "train/cat/2.png", tree / "train/dog/2.png")
    assert set(files(tree).parts.notes) == {
        "1 image is in train and test: train/cat/1.png = test/cat/1.png",
        "1 image is in several classes: train/cat/2.png = train/dog/2.png",
    }
    shutil.rmtree(tree / "test")
    shutil.copy(tree / "train/cat/3.png", tree / "train/cat/4.png")
    shutil.copy(tree / "train/cat/1.png", tree / "train/dog/1.png")
    assert set(files(tree / "train").parts.notes) == {
        "2 images are in several classes: cat/1.png = dog/1.png, cat/2.png = dog/2.png",
        "1 image is there more than once, and may be in train and test: cat/3.png = cat/4.png",
    }


def test_hidden_files_are_no_images_and_suffixes_may_be_upper_case(tree: Path) -> None:
    for name in (
        ".hidden.png",
        "._0.png",
        ".git/1.png",
        "__MACOSX/2.png",
        "notes.txt",
        "Thumbs.db",
    ):
        path = tree / "train/cat" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no image")
    (tree / ".ipynb_checkpoints").mkdir()
    (tree / "train/cat/0.png").rename(tree / "train/cat/0.PNG")
    (tree / "train/cat/deeper").mkdir()
    (tree / "train/cat/1.png").rename(tree / "train/cat/deeper/é 写.png")
    sets = files(tree)
    assert sets.train_size + len(sets.parts.val.targets) == 12 and sets.classes == ["cat", "dog"]


def test_a_class_may_be_called_train_and_spelt_in_two_ways(tree: Path) -> None:
    (tree / "test/cat").rename(tree / "test/caf\u00e9")
    (tree / "train/cat").rename(tree / "train/cafe\u0301")
    assert files(tree).classes == ["caf\u00e9", "dog"]
    (tree / "train/dog").rename(tree / "train/train")
    (tree / "train").rename(tree / "kinds")
    assert files(tree / "kinds").classes == ["caf\u00e9", "train"]


def test_links_to_folders_are_followed(tree: Path) -> None:
    before = files(tree).fingerprint
    (tree / "train/dog").rename(tree.parent / f"{tree.name} dogs")
    (tree / "train/dog").symlink_to(tree.parent / f"{tree.name} dogs")
    assert files(tree).fingerprint == before


def test_image_files_that_cannot_be_used(tree: Path) -> None:
    (tree / "train/cat/0.png").write_bytes(b"no image")
    with pytest.raises(DamagedError, match=r"cat/0\.png"):
        files(tree).setup()
    (tree / "test/cat").rename(tree / "test/cow")
    with pytest.raises(
        ConfigError, match="same classes in train and test; they differ in cat, cow"
    ):
        files(tree).setup()
    with pytest.raises(ConfigError, match="a folder of images for each class"):
        files(tree / "train/dog").setup()


# --- errors


@dataclass(frozen=True)
class Nameless:
    draws: ClassVar[int] = 0
    __repr__ = object.__repr__


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "data.batch_size=0"),
        ({"eval_batch_size": 1.5}, "data.eval_batch_size=1.5"),
        ({"views": 0}, "data.views=0: must be a whole number of at least 1 or null"),
        ({"limit": 91}, r"data.limit=91: must be 1 to 90"),
        ({"omit": [7]}, r"data.omit=7: unknown"),
        ({"omit": range(5)}, r"data.omit=\[.*must be some of the classes, not all"),
        ({"val_fraction": 1.0}, "data.val_fraction=1.0"),
        ({"mean": [0.5], "std": [1, 1, 1]}, r"data.mean=\[0.5\]: must be a list of 3"),
        ({"mean": [0.5] * 3, "std": [1, 0, 1]}, r"data.std=\[1.0, 0.0, 1.0\]"),
        ({"augment": [Nameless()]}, "data.augment=.*whose repr names its settings"),
    ],
)
def test_values_that_cannot_be_used(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        module(**settings).setup()


def test_a_second_view_is_a_function_of_seed_epoch_and_sample() -> None:
    """Not of the batch, and not that of the first, whose numbers stay as they are."""
    plain, same, other = (
        DataModule(
            "digits", digits, batch_size=size, limit=60, seed=3, augment=[Shift(1)], **strong
        )
        for size, strong in ((8, {}), (8, {"strong": [Shift(2)]}), (20, {"strong": [Shift(2)]}))
    )
    first, batches = (list(one.train_dataloader().at(2)) for one in (plain, same))
    assert all(torch.equal(a.image, b.image) for a, b in zip(first, batches, strict=True))

    def views(data: DataModule, epoch: int) -> Tensor:
        found = list(data.train_dataloader().at(epoch))
        order = torch.cat([batch.index for batch in found]).argsort()
        return torch.cat([batch.strong for batch in found])[order]

    assert torch.equal(views(same, 2), views(other, 2))
    assert not torch.equal(views(same, 2), views(same, 3))
    assert not torch.equal(batches[0].image, batches[0].strong)
    assert same.fingerprint == other.fingerprint != plain.fingerprint


def test_affine_moves_as_its_own_draws_say() -> None:
    image = torch.zeros(3, 1, 9, 9, dtype=torch.uint8)
    image[:, :, 4, 6] = 200  # two to the right of the centre
    draws = torch.full((3, 5), 0.5)
    draws[1, 3] = 1.0  # a shift alone
    draws[2, 0] = 1.0  # a quarter turn alone
    made = Affine(degrees=90, scale=0.2, shear=0.2, pixels=2)(image, draws)
    assert made.dtype == torch.uint8 and torch.equal(made[0], image[0])
    places = [tuple(m[0].nonzero()[0].tolist()) for m in made]
    assert places == [(4, 6), (4, 4), (2, 4)] and made.amax((1, 2, 3)).min() >= 199
    drawn = torch.rand(3, 5, generator=torch.Generator().manual_seed(0))
    whole = Affine()(image, drawn)
    assert torch.equal(whole[1:2], Affine()(image[1:2], drawn[1:2]))
    with pytest.raises(ConfigError, match=r"data.augment.scale=1.0: must be below 1"):
        Affine(scale=1.0)


@pytest.mark.parametrize("make", [lambda: RandomCrop(-1), lambda: Shift(-1), lambda: Shift(-2)])
def test_pixels_are_whole_numbers(make: Any) -> None:
    with pytest.raises(ConfigError, match="a whole number of pixels"):
        make()


def test_a_root_that_is_a_file_is_refused_before_reading(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigError, match="file is a file"):
        module(lambda root: pytest.fail("it was read"), root=file / "below")
    for root in (file, file / "below"):
        with pytest.raises(ConfigError, match="file is a file"):
            data.mnist(root)


@pytest.mark.parametrize(
    "name", ["mnist", "fashion_mnist", "fashion_attributes", "cifar10", "cifar100"]
)
def test_an_absent_set_says_what_to_put_where(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(
        ConfigError, match=r"could not be downloaded \(.*no network.*\): put "
    ) as error:
        getattr(data, name)(tmp_path)
    where = {"mnist": "MNIST/raw", "fashion_mnist": "FashionMNIST/raw"}
    where["fashion_attributes"] = where["fashion_mnist"]
    where |= {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
    assert str(error.value).endswith(f"into {tmp_path / where[name]}")
    assert "\n" not in str(error.value) and capsys.readouterr().out == ""


def test_importing_the_package_brings_no_lightning() -> None:
    heavy = "{'pytorch_lightning', 'torchvision', 'sklearn', 'PIL'}"
    code = f"import sys, condenser.data; print({heavy} & set(sys.modules))"
    paths = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"


# --- real sets


@pytest.mark.parametrize(
    ("name", "sizes", "mean", "std"),
    [
        ("mnist", (60000, 10000), [0.1307], [0.3081]),
        ("fashion_mnist", (60000, 10000), [0.2860], [0.3530]),
        ("cifar100", (50000, 10000), [0.5071, 0.4867, 0.4408], [0.2675, 0.2565, 0.2761]),
    ],
)
def test_real_sets_have_their_published_numbers(
    name: str, sizes: tuple[int, int], mean: list[float], std: list[float]
) -> None:
    root = os.environ.get("CONDENSER_DATA")
    if not root:
        pytest.skip("CONDENSER_DATA names no folder of data sets")
    sets = module(getattr(data, name), root=root, val_fraction=0, augment=())
    assert (len(sets.parts.train.targets), len(sets.parts.test.targets)) == sizes
    assert sets.mean == pytest.approx(mean, abs=2e-4) and sets.std == pytest.approx(std, abs=2e-4)
    assert sets.num_classes == len(set(sets.parts.train.targets.tolist()))


def test_digits_are_scikit_learns_whichever_way_they_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from condenser.data import sets

    read = sets.digits()
    monkeypatch.setattr(sets, "find_spec", lambda name: None)
    for part, other in ((read.train, sets.digits().train), (read.test, sets.digits().test)):
        assert torch.equal(part.images, other.images) and torch.equal(part.targets, other.targets)
