"""Language modelling: every token is asked for once, parts follow each other, a run end to end."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from running import run_in

from condenser.data import text_file, tiny_shakespeare
from condenser.data.language import in_blocks
from condenser.data.tokenizing import Tokenizer
from condenser.errors import CondenserError
from condenser.tasks import NOTHING, PAD, UNK

RHYME = "the cat sat on the mat.\nA rat sat too, and that was that!\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rhyme.txt"
    path.write_text(RHYME * 60, encoding="utf-8")
    return path


def test_every_token_but_the_first_is_asked_for_once_behind_the_one_before() -> None:
    said, asked = in_blocks(list(range(4, 15)), 4)
    assert said.tolist() == [[4, 5, 6, 7], [8, 9, 10, 11], [12, 13, PAD, PAD]]
    assert asked.tolist() == [[5, 6, 7, 8], [9, 10, 11, 12], [13, 14, NOTHING, NOTHING]]


def whole(arrays: Any, tokenizer: Tokenizer) -> str:
    """The text of a part without its first token."""
    return tokenizer.text([i for i in arrays.targets.flatten().tolist() if i != NOTHING])


@pytest.mark.parametrize("kind", ["character", "bpe"])
def test_the_parts_are_the_text_in_order_and_the_tokenizer_is_trains(file: Path, kind: str) -> None:
    made = text_file(file, tokenizer=kind, vocab_size=60, length=32)
    assert made.vocabulary is not None
    assert made.vocabulary.tokenizer is not None
    assert made.val is not None
    assert made.vocabulary.size == len(made.classes) <= 60
    tokenizer = Tokenizer(made.vocabulary.tokenizer)
    if kind == "character":
        found = [whole(part, tokenizer) for part in (made.train, made.val, made.test)]
        ends = (round(len(RHYME) * 60 * 0.9 * 0.9), round(len(RHYME) * 60 * 0.9))
        content = RHYME * 60
        parts = content[: ends[0]], content[ends[0] : ends[1]], content[ends[1] :]
        assert [one[1:] for one in parts] == found
    assert made.train.read(torch.arange(1)).shape == (1, 32)
    assert not made.notes


def test_a_folder_has_its_own_parts_and_what_train_lacks_is_unknown(tmp_path: Path) -> None:
    for name, content in {"train": RHYME * 9, "val": RHYME, "test": RHYME + "ß"}.items():
        (tmp_path / f"{name}.txt").write_text(content, encoding="utf-8")
    made = text_file(tmp_path, length=16)
    asked = made.test.targets
    assert int((asked == UNK).sum()) == 1
    assert made.notes == (f"1 of {11 * len(RHYME) + 1:,} tokens are unknown to the tokenizer",)


REFUSED: list[tuple[dict[str, bytes], dict[str, Any], str]] = [
    ({}, {}, "data.root={root}: must be a folder with train.txt, or a text file"),
    ({"train.txt": b"x"}, {}, "data.root={root}: must be a text of two tokens or more in"),
    ({"train.txt": b"good\n\xff\xfe"}, {}, "line 2 is not utf-8"),
    ({"train.txt": b"text"}, {"length": 0}, "data.source.length=0: must be a whole number"),
    ({"train.txt": b"text"}, {"tokenizer": "letters"}, "data.source.tokenizer=letters: unknown"),
    ({"train.txt": b"text"}, {"test_fraction": 1}, "data.source.test_fraction=1: must be"),
    ({"train.txt": b"text"}, {"encoding": "utf-9"}, "data.source.encoding=utf-9: must be"),
]


@pytest.mark.parametrize(("files", "settings", "says"), REFUSED)
def test_what_cannot_be_read_is_said_in_a_line(
    tmp_path: Path, files: dict[str, bytes], settings: dict[str, Any], says: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CondenserError) as raised:
        text_file(tmp_path, **settings)
    assert says.format(root=tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_shakespeare_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(CondenserError, match="a folder that holds TinyShakespeare"):
        tiny_shakespeare(tmp_path)


SMALL = (
    "data=text_file",
    "data.limit=null",
    "data.source.length=24",
    "model@teacher.model=decoder_nano",
    "model@student.model=decoder_nano",
    "teacher.model.layers=1",
    "student.model.layers=1",
    "student.model.width=16",
    "teacher.model.width=32",
    "optim.epochs=3",
    "optim.lr=1e-2",
    "optim.batch_size=16",
)


def test_teacher_to_file_and_the_file_says_what_the_network_says(
    file: Path, tmp_path: Path
) -> None:
    stages = "recipe=[teacher,distill,{cut:{epochs:0}},quantize,export]"
    taught = ("distill.divergence=reverse", "cut=heads", "cut.rate=0.5", "quantize=weights")
    bits = ("quantize.bits=8",)
    rows = run_in(tmp_path / "run", *SMALL, *taught, *bits, stages, f"data.root={file}")
    found = {row["stage"]: row for row in rows}
    for row in found.values():
        assert row["test/perplexity"] == pytest.approx(math.exp(row["test/nll"]))
        assert row["val/nll"] is not None
    assert found["teacher"]["test/nll"] < 2  # of 27 characters: 3.3 where nothing is learnt
    assert found["distill"]["test/nll"] < 2.5
    last, exported = found["quantize"], found["export"]
    assert exported["test/nll"] == pytest.approx(last["test/nll"], abs=1e-3)
    assert exported["export/agreement"] > 0.999
    bundle = next((tmp_path / "run").rglob("bundle"))
    said = json.loads((bundle / "model.json").read_text())
    assert said["input"]["dtype"] == "int64"
    import onnxruntime

    session = onnxruntime.InferenceSession(bundle / "model.onnx")
    for length in (1, 24, 50):  # longer than any block it was trained on
        ids = np.full((2, length), 5)
        assert session.run(None, {"ids": ids})[0].shape[:2] == (2, length)
