"""Text classification: texts as token ids, from files of one's own and from well-known sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from condenser.data.labels import encoded
from condenser.data.samples import Arrays, Splits, splits_of
from condenser.data.split import cut
from condenser.data.text import messages
from condenser.data.text_files import Row, decoded, read_texts
from condenser.data.tokenizing import Tokenizer, rows_of, trained
from condenser.data.torchvision_sets import folder
from condenser.data.tree import WHOLE
from condenser.errors import ConfigError, DamagedError, count
from condenser.tasks import UNK

Parts = Mapping[str, Sequence[Row]]
TREC = ("description", "entity", "person", "abbreviation", "location", "number")


def texts(
    root: str | Path | None,
    text: str = "text",
    label: str = "label",
    encoding: str = "utf-8",
    classes: Sequence[str] | None = None,
    tokenizer: str = "word",
    vocab_size: int = 8000,
    lowercase: bool = True,
    min_count: int = 1,
    length: int = 128,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
) -> Splits:
    """Texts and labels of a .tsv, .csv or .jsonl file, or of a folder of such files.

    The folder's files are train, val and test, as a column ``split`` may say; parts that are not
    there are held out, stratified.

    Args:
        text, label: names of the columns or keys.
        classes: names in the order of the logits; None: the distinct labels, sorted.
        tokenizer: word, bpe, wordpiece or character, trained on the training part; or the path of a
            tokenizer.json, whose ids are then the vocabulary.
        vocab_size: ids at most, with those of padding, unknown, begin and end.
        min_count: rarer words are unknown (word).
        length: a longer text is cut to so many tokens.

    Raises:
        ConfigError: no such file, column, split, tokenizer; a label that is missing.
        DamagedError: a line that cannot be read, or has no text.
    """
    parts = read_texts(root, text, label, encoding)
    own = (tokenizer, vocab_size, lowercase, min_count, length)
    return as_ids(parts, classes, own, val_fraction, test_fraction)


def sst2(root: str | Path, **settings: Any) -> Splits:
    """Stanford's sentiment treebank, two classes: 6,920 + 872 + 1,821 sentences.

    Source: Socher et al., "Recursive Deep Models for Semantic Compositionality Over a Sentiment
    Treebank", 2013, https://aclanthology.org/D13-1170. ``settings`` as of ``texts``.
    """
    parts = {
        part: of_lines(folder(root) / "SST2" / f"{name}.tsv", root, "utf-8", last=True)
        for part, name in {"train": "train", "val": "dev", "test": "test"}.items()
    }
    named = {"0": "negative", "1": "positive"}
    return of_set(parts, named, settings)


def trec(root: str | Path, **settings: Any) -> Splits:
    """Questions of six kinds: 5,452 + 500. ``settings`` as of ``texts``.

    Source: Li, Roth, "Learning Question Classifiers", 2002, https://aclanthology.org/C02-1150
    """
    parts = {
        part: of_lines(folder(root) / "TREC" / f"{part}.txt", root, "latin-1", last=False)
        for part in ("train", "test")
    }
    return of_set(parts, {str(n): name for n, name in enumerate(TREC)}, settings)


def sms_texts(root: str | Path, **settings: Any) -> Splits:
    """The messages of ``sms_spam`` as token ids, ham or spam; a fixed 20 % are the test set."""
    found = messages(folder(root) / "SMSSpam" / "sms.tsv", root)
    rows = [Row(text, label, "") for label, text in found if text.strip()]
    return of_set({WHOLE: rows}, {"ham": "ham", "spam": "spam"}, settings)


def of_lines(path: Path, root: object, encoding: str, last: bool) -> list[Row]:
    """``text TAB label``, or ``label text``, of each line."""
    if not path.is_file():
        allowed = f"a folder that holds {path.parent.name}"
        raise ConfigError("data.root", root, allowed, f"{path.parent.name}/{path.name} is missing")
    rows = []
    for number, line in enumerate(decoded(path, encoding).splitlines(), start=1):
        ends = line.rpartition("\t") if last else line.partition(" ")
        text, label = (ends[0], ends[2]) if last else (ends[2], ends[0])
        if not text.strip():
            raise DamagedError(f"{path}: line {number} has no text and label: {line[:40]!r}")
        rows.append(Row(text.strip(), label.strip(), ""))
    return rows


def of_set(parts: Parts, named: Mapping[str, str], settings: Mapping[str, Any]) -> Splits:
    """A known set, its labels by their names."""
    own = {"tokenizer": "word", "vocab_size": 8000, "lowercase": True, "min_count": 1, "length": 64}
    shares = {"val_fraction": 0.1, "test_fraction": 0.2}
    own |= settings
    held = tuple(own.pop(key, value) for key, value in shares.items())
    rows = {
        part: [row._replace(label=named.get(row.label, row.label)) for row in found]
        for part, found in parts.items()
    }
    return as_ids(rows, list(named.values()), tuple(own.values()), *held)  # type: ignore[arg-type]


def as_ids(
    parts: Parts,
    classes: Sequence[str] | None,
    settings: tuple[str, int, bool, int, int],
    val_fraction: float,
    test_fraction: float,
) -> Splits:
    """The parts as token ids; what is missing is held out before the tokenizer is trained."""
    kind, vocab_size, lowercase, min_count, length = settings
    count("data.source.length", length)
    labels = encoded([row.label for rows in parts.values() for row in rows], classes)
    numbers = labels.targets.split([len(rows) for rows in parts.values()])
    texts = [row.text for rows in parts.values() for row in rows]
    places = torch.arange(len(texts)).split([len(rows) for rows in parts.values()])
    index = {
        part: Arrays(n.view(-1, 1), t) for part, n, t in zip(parts, places, numbers, strict=True)
    }
    split = splits_of(index, labels.classes, labels.task, test_fraction=test_fraction)
    train, val = split.train, split.val
    if val is None and val_fraction:
        kept, held_out = cut(train.targets, val_fraction, 0)
        train, val = train.select(kept), train.select(held_out)
    own = [texts[n] for n in train.read(torch.arange(len(train.targets))).flatten().tolist()]
    made = trained(kind, own, vocab_size, lowercase, min_count)
    ids = made.ids(texts)
    rows = rows_of(ids, length)

    def of(part: Any) -> Arrays:
        where = part.read(torch.arange(len(part.targets))).flatten()
        return Arrays(rows[where], part.targets)

    notes = told(ids, made, length)
    known = (labels.classes, labels.task, of(val) if val is not None else None, notes)
    return Splits(of(train), of(split.test), *known, made.vocabulary)


def told(ids: Sequence[Sequence[int]], made: Tokenizer, length: int) -> tuple[str, ...]:
    """What of the texts a network will not see."""
    longer = sum(len(row) > length for row in ids)
    unknown = sum(bool(row) and set(row) == {UNK} for row in ids)
    empty = sum(not row for row in ids)
    of = f"of {len(ids):,} texts"
    notes = [
        f"{longer:,} {of} are longer than {length} tokens, and cut" * bool(longer),
        f"{unknown:,} {of} have unknown tokens only (a vocabulary of {made.size:,})"
        * bool(unknown),
        f"{empty:,} {of} have no token" * bool(empty),
    ]
    return tuple(filter(None, notes))
