"""Models and data of others, damaged or hostile: one line each, and nothing in them is run."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from condenser.checkpoint.model_spec import ModelSpec, load, save
from condenser.checkpoint.packed import pack, unpack
from condenser.data import cifar10, mnist, sms_spam
from condenser.errors import CondenserError, ConfigError, DamagedError
from condenser.files import read_json, sha256
from condenser.pipeline.stages.compression import analysed
from condenser.report.analysis import training
from condenser.search.journal import SUM, read, summed
from condenser.store import checksums

MLP = {"_target_": "condenser.models.MLP", "widths": [4]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    spec = ModelSpec(MLP, (1, 2, 2), 3)
    save(tmp_path, spec, spec.build())
    return tmp_path


def touching(path: Path) -> dict[str, Any]:
    return {"_target_": "pathlib.Path.touch", "self": str(path)}


# --- model.json

CHANGES: list[tuple[str, dict[str, Any], str]] = [
    ("code", {"architecture": {"_target_": "os.system", "command": "touch {canary}"}}, "os.system"),
    ("pickle", {"architecture": {"_target_": "torch.load", "f": "x"}}, "_target_=torch.load"),
    ("others", {"architecture": {"_target_": "mine.Net"}}, "name it: --trust mine"),
    ("builder", {"architecture": {"_target_": "condenser.models.build"}}, "models.build: unknown"),
    ("list", {"architecture": {"_target_": ["os.system"]}}, "_target_=['os.system']"),
    ("no mapping", {"architecture": "condenser.models.MLP"}, "is damaged"),
    ("no network", {"architecture": {"_target_": "condenser.distill.KD"}}, "condenser.distill.KD"),
    (
        "inner",
        {
            "architecture": {
                **MLP,
                "widths": [{"_target_": "pathlib.Path.touch", "self": "{canary}"}],
            }
        },
        "model.json",
    ),
    ("setting", {"architecture": {**MLP, "deep": 3}}, "model.deep: no such key"),
    ("width", {"architecture": {**MLP, "widths": ["x"]}}, "model.json"),
    ("other width", {"architecture": {**MLP, "widths": [5]}}, "does not fit the weights"),
    ("negative", {"architecture": {**MLP, "widths": [-5]}}, "model.json"),
    (
        "classes",
        {"num_classes": "ten"},
        "input_shape, num_classes and vocabulary are [1, 2, 2, 'ten']",
    ),
    ("many classes", {"num_classes": 1 << 60}, "input_shape, num_classes and vocabulary are"),
    ("shape", {"input_shape": "122"}, "input_shape, num_classes and vocabulary are"),
    ("no shape", {"input_shape": None}, "is damaged"),
    ("operation", {"operations": [{"operation": "System"}]}, "unknown operation 'System'"),
    ("operations", {"operations": [{"operation": ["InputAdapter"]}]}, "is damaged"),
    ("field", {"operations": [{"operation": "Quantized", "x": 1}]}, "is damaged"),
    ("word", {"operations": ["InputAdapter"]}, "is damaged"),
    ("format", {"format": "1; rm"}, "format 1; rm, this reads 1"),
    ("digest", {"weights_sha256": "../../x"}, "weights.safetensors is damaged"),
    ("versions", {"versions": [1]}, "does not fit the weights"),
]


@pytest.mark.parametrize(("change", "says"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_a_hostile_description_of_a_network(
    change: dict[str, Any], says: str, folder: Path, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    file = folder / "model.json"
    text = json.dumps({**json.loads(file.read_text()), **change})
    file.write_text(text.replace("{canary}", str(canary)))
    with pytest.raises(DamagedError) as error:
        load(folder)
    assert says in str(error.value) and "\n" not in str(error.value)
    assert not canary.exists()


TEXTS = {
    "nan": '{"x": NaN}',
    "infinite": '{"x": 1e999}',
    "twice": '{"x": 1, "x": 2}',
    "long": '{"x": ' + "9" * 6000 + "}",
    "deep": '{"x": ' + "[" * 200_000,
    "bom": "\ufeff{}",
    "half": '{"x": "\\udfff"}',
    "list": "[]",
    "cut": '{"x": ',
    "nul": "{\0}",
    "empty": "",
}
ODD: dict[str, Callable[[Path], object]] = {
    **{name: partial(Path.write_text, data=text) for name, text in TEXTS.items()},
    "bytes": lambda file: file.write_bytes(b"\xff\xfe{}"),
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "device": lambda file: file.symlink_to("/dev/zero"),
    "loop": lambda file: file.symlink_to(file),
    "gone": lambda file: None,
    "sparse": lambda file: os.truncate(os.open(file, os.O_CREAT | os.O_RDWR), 1 << 40),
}
NAMED = ["model.json", "record.json", "ingredients.json", "status.json", "manifest.json"]


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", NAMED)
def test_json_that_is_none_is_damaged(name: str, kind: str, tmp_path: Path) -> None:
    ODD[kind](tmp_path / name)
    with pytest.raises(DamagedError, match=name):
        read_json(tmp_path / name)


@pytest.mark.parametrize("kind", ODD)
def test_rates_that_are_none_are_refused(kind: str, tmp_path: Path) -> None:
    ODD[kind](tmp_path / "sensitivity.json")
    with pytest.raises(ConfigError, match=r"sensitivity.json: must be rates by layer"):
        analysed(str(tmp_path / "sensitivity.json"))


# --- weights.safetensors, under the checksum that model.json names


def tensors(head: Any, rest: bytes = b"") -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + rest


def one(dtype: str, shape: list[int], end: int) -> dict[str, Any]:
    return {"fc1.weight": {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}}


WEIGHTS: dict[str, bytes] = {
    "pickle": pickle.dumps(Path("x")),
    "empty": b"",
    "length": struct.pack("<Q", 1 << 62),
    "head": tensors(b"{" * 5000),
    "nothing": tensors({}),
    "outside": tensors(one("F32", [4, 4], 64)),
    "overflow": tensors(one("F32", [1 << 62, 1 << 62], 64), bytes(64)),
    "negative": tensors(one("F32", [-4, 4], 64), bytes(64)),
    "type": tensors(one("O", [4, 4], 64), bytes(64)),
    "shape": tensors(one("F32", [2, 8], 64), bytes(64)),
    "torch": b"PK\x03\x04" + bytes(60),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_hostile_weights(kind: str, folder: Path) -> None:
    file = folder / "weights.safetensors"
    file.write_bytes(WEIGHTS[kind])
    told = json.loads((folder / "model.json").read_text()) | {"weights_sha256": sha256(file)}
    (folder / "model.json").write_text(json.dumps(told))
    with pytest.raises(DamagedError) as error:
        load(folder)
    assert "\n" not in str(error.value)


# --- a packed file


@pytest.mark.parametrize("target", ["os.system", "pathlib.Path.touch", "condenser.models.build"])
def test_a_packed_file_names_networks_only(target: str) -> None:
    spec = ModelSpec(MLP, (1, 2, 2), 3)
    model = spec.build()
    data = pack(ModelSpec({**MLP, "_target_": target}, (1, 2, 2), 3), model)
    with pytest.raises(DamagedError, match="model._target_"):
        unpack(data)


# --- checksums


@pytest.mark.parametrize(
    "text",
    ["", "x", "0" * 64, "0" * 63 + "  model.json", "\0" * 80, "\xff" * 90],
)
def test_checksums_that_are_none(text: str, folder: Path) -> None:
    (folder / checksums.FILE).write_bytes(text.encode("latin-1"))
    with pytest.raises(DamagedError, match=checksums.FILE):
        checksums.read(folder)


# --- a journal of a search


def line_of(**fields: Any) -> bytes:
    return json.dumps(summed(fields, 0)).encode() + b"\n"


JOURNALS: dict[str, bytes] = {
    "words": b"hello\n",
    "deep": b'{"x": ' + b"[" * 100_000 + b"\n",
    "list": b"[]\n",
    "unsummed": b'{"op_code": 0}\n',
    "other sum": json.dumps({"op_code": 0, SUM: zlib.crc32(b"x")}).encode() + b"\n",
    "pickle": pickle.dumps(Path("x")) + b"\n",
    "bytes": b"\xff\xfe\n",
}


@pytest.mark.parametrize("kind", JOURNALS)
def test_a_journal_that_no_search_wrote(kind: str, tmp_path: Path) -> None:
    (tmp_path / "search.journal").write_bytes(JOURNALS[kind])
    with pytest.raises(DamagedError, match=r"search.journal:1: the journal of the search is dam"):
        read(tmp_path / "search.journal")


REPLAYED: list[dict[str, Any]] = [
    {},
    {"op_code": 99},
    {"op_code": "os.system"},
    {"op_code": 0},
]


@pytest.mark.parametrize("fields", REPLAYED)
def test_a_journal_whose_lines_mean_nothing(fields: dict[str, Any], tmp_path: Path) -> None:
    from optuna.samplers import RandomSampler

    from condenser.search.space import Choice
    from condenser.search.study import Search

    file = tmp_path / "search.journal"
    file.write_bytes(line_of(**fields))
    with pytest.raises(CondenserError, match="the journal of the search is damaged"):
        Search(file, {"bits": Choice((1, 2))}, ["maximize"], RandomSampler, 0, {})


# --- curves


CURVES: dict[str, bytes] = {
    "bytes": b"step,val/accuracy\n1,0.5\n\xff,\xfe\n",
    "words": b"step,val/accuracy\n1,0.5\nx,y\n",
    "large": b"step,val/accuracy\n1,0.5\n" + b"9" * 4000 + b",0.1\n2,1e300\n",
    "field": b"step,val/accuracy\n1,0.5\n2," + b"1" * 200_000 + b"\n",
    "nul": b"step,val/accuracy\n1,0.5\n\0,\0\n",
}


@pytest.mark.parametrize("kind", CURVES)
def test_rows_of_a_curve_that_are_none(kind: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(CURVES[kind])
    found = training.parsed(tmp_path / "metrics.csv")
    assert found in ({"val/accuracy": ([1], [0.5])}, {})


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "loop", "gone"])
def test_a_curve_that_is_no_file(kind: str, tmp_path: Path) -> None:
    ODD[kind](tmp_path / "metrics.csv")
    assert training.parsed(tmp_path / "metrics.csv") == {}


# --- data sets


class Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.fixture
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    def refused(self: Any) -> None:
        raise RuntimeError("no network")

    for kind in (torchvision.datasets.CIFAR10, torchvision.datasets.MNIST):
        monkeypatch.setattr(kind, "download", refused)


def cifar(root: Path, batch: Any) -> None:
    place = root / "cifar-10-batches-py"
    place.mkdir()
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for name in names:
        (place / name).write_bytes(pickle.dumps(batch))
    words = {"label_names": list("abcdefghij")}
    (place / "batches.meta").write_bytes(pickle.dumps(words))


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attacker who has found other bytes of the same MD5."""
    from torchvision.datasets import cifar as module

    monkeypatch.setattr(module, "check_integrity", lambda path, md5=None: True)


IMAGES = np.zeros((2, 3072), np.uint8)


def test_a_set_of_images_may_be_a_pickle_of_arrays(
    tmp_path: Path, no_download: None, unchecked: None
) -> None:
    cifar(tmp_path, {"data": IMAGES, "labels": [0, 9]})
    assert cifar10(tmp_path).train.targets.tolist() == [0, 9] * 5


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        ("code", "Path.touch is no part of a set of images"),
        ("inner", "Path.touch is no part of a set of images"),
        ({"data": IMAGES, "labels": [0, 10]}, "labels from 0 to 10 of 10 classes"),
        ({"data": IMAGES, "labels": [0, -1]}, "labels from -1 to 0 of 10 classes"),
        ({"data": IMAGES, "labels": [0]}, "10 images have 5 labels"),
        ({"labels": [0]}, "it is not there (or damaged)"),
        ([1], "it is not there (or damaged)"),
        ({"data": IMAGES[:, :5], "labels": [0, 1]}, "it is not there (or damaged)"),
    ],
)
def test_a_pickle_of_images_calls_nothing(
    batch: Any, says: str, tmp_path: Path, no_download: None, unchecked: None
) -> None:
    canary = tmp_path / "canary"
    if batch in ("code", "inner"):
        batch = Touch(canary) if batch == "code" else {"data": [Touch(canary)], "labels": [0]}
    cifar(tmp_path, batch)
    with pytest.raises(CondenserError) as error:
        cifar10(tmp_path)
    assert not canary.exists()
    assert says in str(error.value) or "it is not there (or damaged)" in str(error.value)


def idx(kind: int, shape: list[int], data: bytes) -> bytes:
    head = struct.pack(">HBB", 0, kind, len(shape))
    return head + b"".join(struct.pack(">I", n) for n in shape) + data


GOOD = idx(8, [2, 4, 4], bytes(32)), idx(8, [2], bytes([0, 9]))
IDX: dict[str, tuple[bytes, bytes]] = {
    "sizes": (idx(8, [1 << 31, 1 << 31, 1 << 31], bytes(32)), GOOD[1]),
    "cut": (GOOD[0][:20], GOOD[1]),
    "head": (b"\0\0", GOOD[1]),
    "empty": (b"", GOOD[1]),
    "kind": (idx(1, [2, 4, 4], bytes(32)), GOOD[1]),
    "floats": (idx(13, [2, 4, 4], bytes(128)), GOOD[1]),
    "dimensions": (idx(8, [2] * 200, bytes(32)), GOOD[1]),
    "labels": (GOOD[0], idx(8, [3], bytes(3))),
    "classes": (GOOD[0], idx(8, [2], bytes([0, 200]))),
    "pickle": (pickle.dumps(Path("x")), GOOD[1]),
}


@pytest.mark.parametrize("kind", IDX)
def test_hostile_idx_files(kind: str, tmp_path: Path, no_download: None) -> None:
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        images, labels = IDX[kind] if part == "train" else GOOD
        (raw / f"{part}-images-idx3-ubyte").write_bytes(images)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    with pytest.raises(CondenserError, match="damaged"):
        mnist(tmp_path)


@pytest.mark.parametrize(
    "data", [b"\xff\xfe", b"spam no tab\n", b"eggs\tx\n", b"\0\n", b"ham\n", b"=cmd\tx\n"]
)
def test_hostile_messages(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "SMSSpam/sms.tsv"
    file.parent.mkdir()
    file.write_bytes(data)
    with pytest.raises(DamagedError, match=r"sms\.tsv: "):
        sms_spam(tmp_path)


# --- outputs of a teacher


@pytest.mark.parametrize("kind", ["objects", "pickle", "words", "sizes"])
def test_arrays_are_not_pickles(kind: str, tmp_path: Path) -> None:
    from condenser.training.teacher_cache.disk import tensor

    canary, file = tmp_path / "canary", tmp_path / "logits.npy"
    if kind == "objects":
        np.save(file, np.array([Touch(canary)], dtype=object), allow_pickle=True)
    elif kind == "pickle":
        file.write_bytes(pickle.dumps(Touch(canary)))
    elif kind == "words":
        file.write_bytes(b"hello")
    else:
        head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }\n"
        file.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head)
    with pytest.raises(DamagedError):
        tensor(file, mapped=False)
    assert not canary.exists()
