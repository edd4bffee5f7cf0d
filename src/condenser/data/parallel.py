"""Translation: pairs of sentences as token ids of one vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from condenser.data.samples import Arrays, Splits, splits_of
from condenser.data.text_files import SUFFIXES, decoded, read_texts
from condenser.data.tokenizing import rows_of, trained
from condenser.data.torchvision_sets import folder
from condenser.data.tree import PARTS, WHOLE
from condenser.errors import ConfigError, DamagedError, count, shown
from condenser.tasks import BOS, EOS, NOTHING, UNK, Translation

Pairs = list[tuple[str, str]]


def parallel(
    root: str | Path | None,
    source: str = "en",
    target: str = "de",
    tokenizer: str = "bpe",
    vocab_size: int = 4000,
    lowercase: bool = False,
    length: int = 64,
    encoding: str = "utf-8",
    test_fraction: float = 0.1,
    parts: Mapping[str, str] | None = None,
) -> Splits:
    """Sentences and their translations, line by line.

    ``root`` is a folder of train.en and train.de, and maybe the same for val and test; or a table
    (.tsv, .csv, .jsonl) with columns en, de and maybe split, or a folder of such tables. A sample
    is int64 (2, L), the source with EOS and BOS with the target, and asks for the target with EOS.

    Args:
        source, target: what the files end in, or the columns.
        tokenizer: bpe, word, wordpiece or character, trained on both sides of the training part; or
            the path of a tokenizer.json.
        vocab_size: ids at most, with those of padding, unknown, begin and end.
        length: a sentence is cut to so many tokens, its EOS among them.
        parts: part → name of its files, where they are called otherwise: {test: test_2016_flickr}.

    Raises:
        ConfigError: no such files; a file that has another number of lines than its translation.
        DamagedError: a line that is not in the encoding.
    """
    count("data.source.length", length)
    found = read(root, (source, target), encoding, parts or {})
    kept = {part: [p for p in pairs if all(map(str.strip, p))] for part, pairs in found.items()}
    empty = sum(map(len, found.values())) - sum(map(len, kept.values()))
    train = kept.get("train", kept.get(WHOLE, []))
    if not train:
        raise ConfigError("data.root", root, "a training part with a pair of sentences")
    made = trained(tokenizer, [text for pair in train for text in pair], vocab_size, lowercase)
    ids = {part: [made.ids(side) for side in zip(*p, strict=True)] for part, p in kept.items() if p}
    arrays = {part: Arrays(*as_samples(a, b, length)) for part, (a, b) in ids.items()}
    rows = [row for two in ids.values() for side in two for row in side]
    notes = told(rows, length, empty)
    made_of = splits_of(arrays, made.names, Translation.word, notes, test_fraction)
    return made_of._replace(vocabulary=made.vocabulary)


def multi30k(root: str | Path, **settings: Any) -> Splits:
    """29,000 descriptions of pictures in English and German; test is test_2016_flickr's 1,000.
    ``settings`` as of ``parallel``.

    Source: Elliott, Frank, Sima'an, Specia, "Multi30K: Multilingual English-German Image
    Descriptions", 2016, https://arxiv.org/abs/1605.00459
    """
    place = folder(root) / "Multi30k"
    if not place.is_dir():
        raise ConfigError("data.root", root, "a folder that holds Multi30k", "it is not there")
    return parallel(place, parts={"test": "test_2016_flickr"}, **settings)


def read(
    root: str | Path | None, sides: tuple[str, str], encoding: str, named: Mapping[str, str]
) -> dict[str, Pairs]:
    """The pairs of each part."""
    path = Path(root or "").expanduser()
    if root is None or not path.exists():
        allowed = f"a folder with train.{sides[0]} and train.{sides[1]}, or a table of pairs"
        raise ConfigError("data.root", root, allowed, "none there")
    if path.is_file() or any((path / f"train{suffix}").is_file() for suffix in SUFFIXES):
        rows = read_texts(root, *sides, encoding)
        return {part: [(row.text, row.label) for row in found] for part, found in rows.items()}
    found = {}
    for part, aliases in PARTS.items():
        for name in [named[part]] if part in named else aliases:
            files = [path / f"{name}.{side}" for side in sides]
            if all(file.is_file() for file in files):
                found[part] = lines_of(files, encoding)
    if "train" not in found:
        has = ", ".join(sorted(p.name for p in path.iterdir())[:5]) or "nothing"
        allowed = f"a folder with train.{sides[0]} and train.{sides[1]}"
        raise ConfigError("data.root", root, allowed, f"it has {has}")
    return found


def lines_of(files: Sequence[Path], encoding: str) -> Pairs:
    sides = [decoded(file, encoding).removesuffix("\n").split("\n") for file in files]
    if len(sides[0]) != len(sides[1]):
        counts = " and ".join(
            f"{len(side):,} lines in {file.name}" for side, file in zip(sides, files, strict=True)
        )
        raise DamagedError(f"{shown(files[0].parent)}: {counts}: each line needs its translation")
    return list(zip(*sides, strict=True))


def as_samples(
    source: Sequence[list[int]], target: Sequence[list[int]], length: int
) -> tuple[Tensor, Tensor]:
    """(N, 2, L) and (N, L): what is read and already said, and what is to be said."""
    cut = length - 1
    rows = [
        rows_of([[*row[:cut], EOS] for row in source]),
        rows_of([[BOS, *row[:cut]] for row in target]),
    ]
    asked = rows_of([[*row[:cut], EOS] for row in target])
    longest = max(row.shape[1] for row in rows)
    filled = [pad(row, (0, longest - row.shape[1])) for row in (*rows, asked)]
    place = torch.arange(longest)
    ends = torch.tensor([min(len(row), cut) + 1 for row in target])
    return torch.stack(filled[:2], 1), filled[2].masked_fill(place >= ends[:, None], NOTHING)


def told(rows: Sequence[list[int]], length: int, empty: int) -> tuple[str, ...]:
    """What of the sentences a network will not see."""
    longer = sum(len(row) >= length for row in rows)
    unknown = sum(UNK in row for row in rows)
    of = f"of {len(rows):,} sentences"
    notes = (
        f"{empty:,} pairs with an empty side are left out" * bool(empty),
        f"{longer:,} {of} are longer than {length} tokens, and cut" * bool(longer),
        f"{unknown:,} {of} have tokens that are unknown to the tokenizer" * bool(unknown),
    )
    return tuple(filter(None, notes))
