"""Data of ten kinds, each from its files to a bundle that answers as it was measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from running import run_in
from torch.utils.data import Dataset

from condenser.data import arrays, from_arrays, from_dataset, manifest
from condenser.errors import CondenserError

N, SIDE = 60, 8
DRAW = np.random.default_rng(0)
TARGETS = np.arange(N) % 3
WORDS = np.array(["ash", "birch", "cedar"])[TARGETS]
SPLIT = np.array(["train"] * 40 + ["val"] * 8 + ["test"] * 12)
PIXELS = (60 * TARGETS[:, None, None] + DRAW.integers(0, 60, (N, SIDE, SIDE))).astype(np.uint8)
COLOUR = np.stack([PIXELS] * 3, axis=3)


class Shapes(Dataset[Any]):
    """Of PIL images and numbers."""

    classes = ("ash", "birch", "cedar")

    def __init__(self, root: str | None = None, train: bool = True) -> None:
        self.rows = range(48) if train else range(48, N)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> tuple[Image.Image, int]:
        place = self.rows[row]
        return Image.fromarray(COLOUR[place]), int(TARGETS[place])


class Broken(Shapes):
    def __getitem__(self, row: int) -> tuple[Image.Image, int]:
        if row == 5:
            raise OSError("disk is gone")
        return super().__getitem__(row)


def files(root: Path, name: Callable[[int], str]) -> list[str]:
    """An image file for each sample; their paths below the root."""
    names = [name(row) for row in range(N)]
    for path, pixels in zip(names, COLOUR, strict=True):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / path)
    return names


SMALL = ("data.source.size=8", "data.source.resize=8", "data.source.num_workers=0")


def folder_of_splits(root: Path) -> tuple[str, ...]:
    files(root, lambda row: f"{SPLIT[row]}/{WORDS[row]}/{row}.png")
    return ("data=imagefolder", f"data.root={root}", *SMALL)


def folder_of_classes(root: Path) -> tuple[str, ...]:
    files(root, lambda row: f"{WORDS[row]}/{row}.png")
    return ("data=imagefolder", f"data.root={root}", *SMALL, "data.source.test_fraction=0.3")


def table(root: Path, suffix: str) -> tuple[str, ...]:
    names = files(root, lambda row: f"pictures/{row}.png")
    made = pd.DataFrame({"path": names, "label": WORDS, "split": SPLIT})
    file = root / f"table{suffix}"
    made.to_parquet(file) if suffix == ".parquet" else made.to_csv(file, index=False)
    return ("data=manifest", f"data.root={file}", *SMALL)


def npz(root: Path) -> tuple[str, ...]:
    parts = {f"{p}_images": PIXELS[p == SPLIT] for p in ("train", "val", "test")}
    labels = {f"{p}_labels": TARGETS[p == SPLIT] for p in ("train", "val", "test")}
    np.savez(root / "set.npz", classes=Shapes.classes, **parts, **labels)
    return ("data=arrays", f"data.root={root}/set.npz")


def spectrograms(root: Path) -> tuple[str, ...]:
    np.save(root / "images.npy", PIXELS.astype(np.float64) / 7 - 3)
    np.save(root / "labels.npy", WORDS)
    return ("data=arrays", f"data.root={root}")


def sensors(root: Path) -> tuple[str, ...]:
    np.savez(root / "set.npz", x=PIXELS[:, :3].astype(np.float32), y=TARGETS * 10, split=SPLIT)
    return ("data=arrays", f"data.root={root}/set.npz", "data.source.layout=NCT")


def features(root: Path) -> tuple[str, ...]:
    np.savez(root / "set.npz", x=PIXELS.reshape(N, -1) / 255, y=WORDS)
    return ("data=arrays", f"data.root={root}/set.npz")


def labels(root: Path) -> tuple[str, ...]:
    np.savez(root / "set.npz", x=COLOUR, y=np.stack([TARGETS > 0, TARGETS > 1], axis=1))
    return ("data=arrays", f"data.root={root}/set.npz")


def dataset(root: Path) -> tuple[str, ...]:
    target = "{_target_:test_kinds.Shapes,_partial_:true}"
    parts = "{train:{train:true},test:{train:false}}"
    return ("data=dataset", f"data.source.dataset={target}", f"data.source.parts={parts}")


def huggingface(root: Path) -> tuple[str, ...]:
    datasets = pytest.importorskip("datasets")
    label = datasets.ClassLabel(names=list(Shapes.classes))
    kinds = datasets.Features({"image": datasets.Image(), "label": label})
    shown = [Image.fromarray(pixels) for pixels in COLOUR]
    made = datasets.Dataset.from_dict({"image": shown, "label": TARGETS.tolist()}, features=kinds)
    made.train_test_split(0.25, seed=0).save_to_disk(root / "set")
    return ("data=huggingface", f"data.root={root}/set", "data.source.size=8")


KINDS: dict[str, Callable[[Path], tuple[str, ...]]] = {
    "folder of splits": folder_of_splits,
    "folder of classes": folder_of_classes,
    "csv": lambda root: table(root, ".csv"),
    "parquet": lambda root: table(root, ".parquet"),
    "npz of pixels": npz,
    "npy of floats": spectrograms,
    "series": sensors,
    "features": features,
    "labels": labels,
    "dataset": dataset,
    "huggingface": huggingface,
}


@pytest.mark.parametrize("kind", KINDS)
def test_from_its_files_to_a_bundle(kind: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    own = KINDS[kind](tmp_path / "data")
    words = (
        "model@teacher.model=mlp_32",
        "data.limit=null",
        "optim.epochs=20",
        "optim.batch_size=8",
    )
    quick = ("export.measure=false",) if kind != "npy of floats" else ("export.batch=2",)
    records = run_in(tmp_path, *own, *words, *quick, "recipe=[teacher,export]", "optim.lr=0.003")
    assert records[0]["test/accuracy"] > 0.8, "three levels of grey are easily told apart"
    facts = json.loads((tmp_path / "default/test/bundle/model.json").read_text("utf-8"))
    names = {"series": ["0", "10", "20"], "labels": ["0", "1"]}
    assert facts["classes"] == names.get(kind, list(Shapes.classes))
    assert len(facts["samples"]) == 3
    if kind == "npy of floats":
        assert facts["measured"]["test/accuracy"] == records[1]["test/accuracy"]
        assert facts["input"]["unit"] == 1 and facts["samples"][0]["input"].endswith(".npy")


def answer(make: Callable[[], Any]) -> str:
    with pytest.raises(CondenserError) as error:
        make()
    assert "\n" not in str(error.value)
    return str(error.value)


GOOD = PIXELS / 255


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: from_arrays(GOOD, [1, 2, "a", *TARGETS[3:]]), "labels=1 in row 0, 'a' in row 2: "),
        (
            lambda: from_arrays(GOOD, ["1", *WORDS[1:]]),
            "labels=1 in row 0, ash in row 3: must be",
        ),
        (lambda: from_arrays(GOOD, ["", *WORDS[1:]]), "labels=: must be a label; row 0"),
        (lambda: from_arrays(GOOD, [np.nan, *TARGETS[1:]]), "labels=nan in row 0"),
        (lambda: from_arrays(GOOD, TARGETS[1:]), "labels=60 images and 59 labels: must be as many"),
        (
            lambda: from_arrays(GOOD, TARGETS * 0),
            "labels=0 everywhere: must be two classes or more",
        ),
        (lambda: from_arrays(np.where(GOOD > 0.7, np.nan, GOOD), TARGETS), "have NaN or infinite"),
        (
            lambda: from_arrays([GOOD[0], GOOD[1, :3]], [0, 1]),
            "shapes differ: (8, 8) in row 0, (3, 8)",
        ),
        (
            lambda: from_arrays(GOOD, TARGETS, split=["tset"] * N),
            "split=tset: unknown; did you mean",
        ),
        (
            lambda: from_arrays(GOOD, TARGETS, split=["test"] * N),
            "split=test alone: must be train too",
        ),
        (
            lambda: from_arrays(GOOD, TARGETS, classes=["a", "b"]),
            "labels=2 in row 2: must be 0 to 1",
        ),
        (lambda: from_arrays(GOOD, WORDS, classes=["ash", "birch"]), "labels=cedar: unknown"),
        (
            lambda: from_arrays(GOOD, TARGETS, layout="NCHW"),
            "layout=NCHW: must be a layout of 3 axes",
        ),
        (lambda: from_arrays(WORDS, TARGETS), "images=<U5: must be numbers"),
        (lambda: from_arrays(GOOD, TARGETS, test_fraction=1.0), "data.source.test_fraction=1.0"),
        (lambda: arrays("none.npz"), "data.root=none.npz: must be a .npz file or a folder"),
        (
            lambda: from_dataset(None, Broken),
            "sample 5 of train cannot be read as (image, label)",
        ),
        (lambda: from_dataset(None), "data.source.dataset=null: must be {_target_: mypackage.Set"),
        (lambda: from_dataset(None, Shapes, {"tset": {}}), "data.source.parts=tset: unknown"),
        (lambda: manifest("none.csv"), "data.root=none.csv: must be a table: a file in .csv, .tsv"),
    ],
)
def test_what_cannot_be_used_is_one_line(make: Callable[[], Any], said: str) -> None:
    assert said in answer(make)


def test_arrays_of_python_objects_are_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    assert "images.npy: Python objects; save plain arrays" in answer(lambda: arrays(tmp_path))


def test_rows_of_a_table_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    for text, said in {
        "file,class\na.png,x\n": "it has 1 rows and the columns file, class",
        "path,label\nno.png,x\nnor.png,y\n": f"2 files are not in {tmp_path}: no.png, nor.png",
        "path,label\nt.csv,1\nt.csv,cat\n": "labels=1 in row 0, cat in row 1: must be all",
        "path,label\nt.csv,\nt.csv,cat\n": "labels=: must be a label; row 0",
        "path,label,split\nt.csv,a,tset\nt.csv,b,train\n": "split=tset: unknown; did you mean",
        "path,label\nt.csv,a\nt.csv,b\n": "t.csv (no image that can be read)",
        "": "no table that can be read",
    }.items():
        file.write_text(text)
        assert said in answer(lambda: manifest(file))


def test_numbers_in_a_table_are_in_their_own_order(tmp_path: Path) -> None:
    names = files(tmp_path, lambda row: f"{row}.png")
    rows = [f"{name},{(9, 10, 11)[row % 3]}" for row, name in enumerate(names)]
    (tmp_path / "t.tsv").write_text("path\tlabel\n" + "\n".join(rows).replace(",", "\t"))
    made = manifest(tmp_path / "t.tsv", size=8, resize=8)
    assert made.classes == ["9", "10", "11"]
    assert torch.equal(made.train.targets.bincount(), torch.tensor([16, 16, 16]))


def test_tiny_imagenet_is_read_as_published(tmp_path: Path) -> None:
    from condenser.data import tiny_imagenet

    names = files(tmp_path, lambda row: f"train/n{TARGETS[row]}/images/n{TARGETS[row]}_{row}.png")
    pairs = [(f"val_{row}.png", f"n{TARGETS[row]}") for row in range(6)]
    (tmp_path / "val/images").mkdir(parents=True)
    for name, _ in pairs:
        Image.fromarray(COLOUR[0]).save(tmp_path / "val/images" / name)
    table = "".join(f"{name}\t{kind}\t0\t0\t62\t62\n" for name, kind in pairs)
    (tmp_path / "val/val_annotations.txt").write_text(table)
    made = tiny_imagenet(tmp_path, size=8, resize=8)
    assert made.classes == ["n0", "n1", "n2"] and len(made.train.targets) == len(names)
    assert made.val is None and made.test.targets.tolist() == [0, 0, 1, 1, 2, 2]
    (tmp_path / "val/val_annotations.txt").write_text(table + "x.png\tn9\n")
    assert "row 6: n9 is no class of train" in answer(lambda: tiny_imagenet(tmp_path))
