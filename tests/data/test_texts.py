"""Texts from files to token ids, and what cannot be read, in a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from condenser import data
from condenser.data.tokenizing import Tokenizer, ready, trained
from condenser.errors import ConfigError, DamagedError, UnknownError

SAID = ["The cat sat.", "the dog ran!", "A cat ran", "a dog sat", "the cat ran"] * 4
KINDS = ["word", "bpe", "wordpiece", "character"]


def table(folder: Path, name: str = "all.tsv", split: bool = False) -> Path:
    lines = ["text\tlabel" + "\tsplit" * split]
    for n, text in enumerate(SAID):
        label = "cat" if "cat" in text else "dog"
        part = ("train", "train", "train", "val", "test")[n // 4]
        lines.append(f"{text}\t{label}" + f"\t{part}" * split)
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_is_told_by_its_description(kind: str) -> None:
    made = trained(kind, SAID, 60)
    again = Tokenizer(trained(kind, list(SAID), 60).description)
    assert again.description == made.description
    ids = made.ids(["the cat ran!", "zebra \n"])
    assert again.ids(["the cat ran!", "zebra \n"]) == ids
    assert made.names[:4] == ["[PAD]", "[UNK]", "[BOS]", "[EOS]"] and 1 in ids[1]
    assert 4 < made.size <= 60 and max(map(max, ids)) < made.size
    assert made.text(ids[0]).replace(" ", "") == "thecatran!"


def test_the_most_frequent_words_are_kept_and_case_counts_where_asked() -> None:
    made = trained("word", [*SAID, "once"], 7)
    assert set(made.names[4:]) == {"cat", "ran", "the"}
    assert set(trained("word", [*SAID, "once"], 99, min_count=2).names) >= {"dog", "."}
    assert "once" not in trained("word", [*SAID, "once"], 99, min_count=2).names
    assert "The" in trained("word", SAID, 99, lowercase=False).names


def test_a_ready_made_tokenizer_keeps_its_ids(tmp_path: Path) -> None:
    own = trained("wordpiece", SAID, 60)
    (tmp_path / "tokenizer.json").write_text(own.json, encoding="utf-8")
    assert ready(str(tmp_path / "tokenizer.json")).ids(SAID) == own.ids(SAID)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ConfigError, match="must be a tokenizer.json of the tokenizers library"):
        ready(str(tmp_path / "other.json"))


@pytest.mark.parametrize("split", [False, True])
def test_parts_are_those_of_the_column_or_held_out(tmp_path: Path, split: bool) -> None:
    found = data.texts(table(tmp_path, split=split), length=3)
    sizes = [len(part.targets) for part in (found.train, found.val, found.test)]  # type: ignore[union-attr]
    assert sizes == ([12, 4, 4] if split else [14, 2, 4])
    assert found.classes == ["cat", "dog"] and found.train.shape == (3,)
    assert any("longer than 3 tokens" in note for note in found.notes)


def test_a_folder_of_files_and_json_lines(tmp_path: Path) -> None:
    for name in ("train.tsv", "dev.tsv", "test.tsv"):
        table(tmp_path, name)
    found = data.texts(tmp_path)
    assert len(found.train.targets) == len(found.test.targets) == 20
    assert found.val is not None and len(found.val.targets) == 20
    rows = '{"sentence": "good, \\"so\\"", "y": 1}\n\n{"sentence": "bad", "y": 0}\n' * 5
    (tmp_path / "one.jsonl").write_text(rows)
    made = data.texts(tmp_path / "one.jsonl", text="sentence", label="y")
    assert made.classes == ["0", "1"]


def test_the_tokenizer_sees_the_training_part_alone(tmp_path: Path) -> None:
    path = table(tmp_path, split=True)
    path.write_text(path.read_text() + "aardvark\tdog\ttest\n")
    found = data.texts(path)
    assert found.vocabulary is not None and "aardvark" not in (found.vocabulary.tokenizer or "")
    assert found.notes == ("1 of 21 texts have unknown tokens only (a vocabulary of 12)",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"text\tlabel\ngood\t1\n\t0\n", "line 3 has no text"),
        (b"text\tlabel\ngood\t\n", "line 2 has no label"),
        (b"text\tlabel\ngood\t1\tand more\n", "line 2 has 3 fields, the first line 2"),
        (b"text\tlabel\ngood\t1\nna\xefve\t0\n", "line 3 is not utf-8; data.source.encoding"),
        (b"words\tlabel\ngood\t1\n", "columns text, label"),
        (b"text\tlabel\tsplit\ngood\t1\ttrian\n", "trian: unknown; did you mean train"),
        (b"text\tlabel\tsplit\ngood\t1\ttrain\nbad\t0\t\n", "a split for every row, or for none"),
        (b"", "one image or more|labels"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "a.tsv").write_bytes(content)
    with pytest.raises((ConfigError, DamagedError), match=says):
        data.texts(tmp_path / "a.tsv")


def test_settings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path)
    with pytest.raises(
        UnknownError, match="data.source.tokenizer=wrod: unknown; did you mean word"
    ):
        data.texts(path, tokenizer="wrod")
    with pytest.raises(ConfigError, match="data.source.vocab_size=4"):
        data.texts(path, vocab_size=4)
    with pytest.raises(ConfigError, match="encoding"):
        data.texts(path, encoding="utf-99")
    with pytest.raises(DamagedError, match="no tokenizer"):
        Tokenizer('{"kind": "word"}')


def test_known_sets_are_read_as_they_are_published(tmp_path: Path) -> None:
    (tmp_path / "SST2").mkdir()
    for name in ("train", "dev", "test"):
        (tmp_path / "SST2" / f"{name}.tsv").write_text("a good one\t1\nno good\t0\n" * 5)
    (tmp_path / "TREC").mkdir()
    (tmp_path / "TREC" / "train.txt").write_bytes(b"0 What na\xefve ?\n5 How far ?\n" * 9)
    (tmp_path / "TREC" / "test.txt").write_bytes(b"5 How long ?\n" * 3)
    assert data.sst2(tmp_path).classes == ["negative", "positive"]
    found = data.trec(tmp_path)
    assert found.classes[5] == "number" and set(found.test.targets.tolist()) == {5}
    with pytest.raises(ConfigError, match="SST2/train.tsv is missing"):
        data.sst2(tmp_path / "TREC")
