"""Translation: pairs as ids, what is wrong with files, BLEU of what a network says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from running import run_in

from condenser.compress.base import CalibrationData
from condenser.data import multi30k, parallel
from condenser.data.lengths import joined
from condenser.data.parallel import as_samples
from condenser.data.tokenizing import Tokenizer
from condenser.errors import CondenserError
from condenser.measure import bleu_and_chrf
from condenser.measure.texts import words
from condenser.tasks import BOS, EOS, NOTHING

ENGLISH = ("one", "two", "red", "blue", "cat", "dog")
GERMAN = ("eins", "zwei", "rot", "blau", "Katze", "Hund")


def write(folder: Path, counts: dict[str, int]) -> Path:
    """Five words, and the same in German, backwards."""
    generator = torch.Generator().manual_seed(0)
    for part, count in counts.items():
        rows = torch.randint(len(ENGLISH), (count, 5), generator=generator).tolist()
        for end, words_of in (("en", ENGLISH), ("de", GERMAN)):
            lines = (" ".join(words_of[i] for i in (r if end == "en" else r[::-1])) for r in rows)
            (folder / f"{part}.{end}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_a_sample_is_the_source_and_what_is_said_before_each_token() -> None:
    samples, asked = as_samples([[7, 8], [9]], [[5], [4, 5, 6, 7]], 4)
    assert samples.tolist() == [
        [[7, 8, EOS, 0], [BOS, 5, 0, 0]],
        [[9, EOS, 0, 0], [BOS, 4, 5, 6]],
    ]
    assert asked.tolist() == [[5, EOS, NOTHING, NOTHING], [4, 5, 6, EOS]]


@pytest.mark.parametrize("kind", ["bpe", "word"])
def test_what_is_asked_for_reads_as_the_file(tmp_path: Path, kind: str) -> None:
    made = parallel(write(tmp_path, {"train": 40, "val": 5, "test": 7}), tokenizer=kind)
    assert (len(made.train.targets), len(made.test.targets)) == (40, 7)
    assert made.val is not None
    assert made.vocabulary is not None
    assert made.vocabulary.tokenizer is not None
    tokenizer = Tokenizer(made.vocabulary.tokenizer)
    lines = (tmp_path / "test.de").read_text().splitlines()
    assert words(made.test.targets, tokenizer) == lines
    samples: Any = made.test
    assert words(samples.images[:, 1, 1:], tokenizer) == lines
    assert words(samples.images[:, 0], tokenizer) == (tmp_path / "test.en").read_text().splitlines()
    assert not made.notes


def test_tables_and_empty_sides(tmp_path: Path) -> None:
    rows = ["en\tde\tsplit"] + [
        f"one {n}\teins {n}\t{'test' if n < 3 else 'train'}" for n in range(9)
    ]
    (tmp_path / "pairs.tsv").write_text("\n".join(rows), encoding="utf-8")
    made = parallel(tmp_path / "pairs.tsv")
    assert (len(made.train.targets), len(made.test.targets)) == (6, 3)
    folder = write(tmp_path, {"train": 5})
    with (folder / "train.en").open("a") as en, (folder / "train.de").open("a") as de:
        en.write("\nred\n")
        de.write("rot\n\n")
    assert parallel(folder, test_fraction=0.2).notes == ("2 pairs with an empty side are left out",)


REFUSED: list[tuple[dict[str, bytes], str]] = [
    ({}, "data.root={root}: must be a folder with train.en and train.de; it has nothing"),
    ({"train.en": b"one\n", "train.de": b"eins\nzwei\n"}, "1 lines in train.en and 2 lines in"),
    ({"train.en": b"one\n", "train.de": b"\xff\n"}, "train.de: line 1 is not utf-8"),
    ({"train.en": b"\n", "train.de": b"\n"}, "must be a training part with a pair of sentences"),
]


@pytest.mark.parametrize(("files", "says"), REFUSED)
def test_what_cannot_be_read_is_said_in_a_line(
    tmp_path: Path, files: dict[str, bytes], says: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CondenserError) as raised:
        parallel(tmp_path)
    assert says.format(root=tmp_path) in str(raised.value)
    with pytest.raises(CondenserError, match="a folder that holds Multi30k"):
        multi30k(tmp_path)


def test_bleu_is_that_of_its_definition() -> None:
    """7 of 8 words, 5 of 7 pairs, …: their geometric mean; a short text is penalised."""
    right = ["the cat sat on the mat today ."]
    assert bleu_and_chrf(right, right)["bleu"] == pytest.approx(100)
    said = ["the cat sat on the mat now ."]
    precisions = (7 / 8) * (5 / 7) * (4 / 6) * (3 / 5)
    found = bleu_and_chrf(said, right)
    assert found["bleu"] == pytest.approx(100 * precisions**0.25, abs=1e-4)
    assert 50 < found["chrf"] < 100
    short = ["the cat sat on the mat"]
    assert bleu_and_chrf(short, right)["bleu"] == pytest.approx(
        100 * 2.718281828 ** (1 - 8 / 6), abs=1e-3
    )


SMALL = (
    *("data=parallel", "data.limit=null", "data.source.tokenizer=word", "optim.batch_size=16"),
    *("model@student.model=translator_nano", "student.model.layers=1", "student.model.width=32"),
    *("student.model.dropout=0.0", "optim.epochs=16", "optim.lr=3e-3"),
)


def test_what_a_student_says_is_measured_as_text(tmp_path: Path) -> None:
    root = write(tmp_path, {"train": 400, "val": 20, "test": 20})
    (row,) = run_in(tmp_path / "run", *SMALL, f"data.root={root}", "recipe=[student]")
    assert row["test/bleu"] > 50
    assert row["test/chrf"] > 50
    assert row["test/accuracy"] > 0.8


def test_what_ends_and_fills_a_row_is_no_text() -> None:
    ids = torch.tensor([[4, 5, EOS, 0, NOTHING]])
    tokenizer = Tokenizer('{"kind":"word","words":"a b","lowercase":false}')
    assert words(ids, tokenizer) == ["a b"]


def test_what_calibrates_is_as_long_as_the_longest() -> None:
    parts = [(torch.ones(2, 2, n, dtype=torch.int64), torch.ones(2, n).long()) for n in (3, 5)]
    data = CalibrationData(lambda n: parts, lambda a, b: a.sum(), dict)
    images, targets = data.sample(4)
    assert images.tolist()[0][0] == [1, 1, 1, 0, 0]
    assert targets.tolist()[1] == [1, 1, 1, NOTHING, NOTHING]
    assert images.shape == (4, 2, 5)
    assert torch.equal(joined([torch.tensor([1, 2]), torch.tensor([3])], 0), torch.arange(1, 4))
