"""Language modelling: a text as blocks of token ids, each with the token that follows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from condenser.data.samples import Arrays, Splits
from condenser.data.text_files import decoded
from condenser.data.tokenizing import Tokenizer, trained
from condenser.data.torchvision_sets import folder
from condenser.data.tree import PARTS
from condenser.errors import ConfigError, below_one, count, positive
from condenser.tasks import NOTHING, PAD, UNK, TokenPrediction

Texts = Mapping[str, str]  # train, val and test


def text_file(
    root: str | Path | None,
    tokenizer: str = "character",
    vocab_size: int = 8000,
    lowercase: bool = False,
    length: int = 128,
    encoding: str = "utf-8",
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
) -> Splits:
    """A text file, or a folder with train.txt and maybe val.txt and test.txt, in blocks.

    What a part is not there for is the end of the text: of a file the last ``test_fraction`` of its
    characters is the test part, the last ``val_fraction`` of the rest validates.

    Args:
        tokenizer: character, bpe, wordpiece or word, trained on the training part; or the path of a
            tokenizer.json.
        vocab_size: ids at most, with those of padding, unknown, begin and end.
        length: tokens of a block, each of which sees what stands before it in its block alone.

    Raises:
        ConfigError: no such file, a text of less than two tokens, a setting out of range.
        DamagedError: a line that is not in the encoding.
    """
    count("data.source.length", length)
    shares = {"val": val_fraction, "test": test_fraction}
    for part, share in shares.items():
        positive(f"data.source.{part}_fraction", share)
        below_one(f"data.source.{part}_fraction", share)
    parts = cut_off(read(root, encoding), shares)
    made = trained(tokenizer, [parts["train"]], vocab_size, lowercase)
    ids = {part: made.ids([whole])[0] for part, whole in parts.items()}
    for part, found in ids.items():
        if len(found) < 2:
            raise ConfigError("data.root", root, f"a text of two tokens or more in {part}")
    blocks = {part: Arrays(*in_blocks(found, length)) for part, found in ids.items()}
    unknown = sum(found.count(UNK) for found in ids.values())
    total = sum(map(len, ids.values()))
    notes = (f"{unknown:,} of {total:,} tokens are unknown to the tokenizer",) * bool(unknown)
    return splits(blocks, made, notes)


def tiny_shakespeare(root: str | Path, **settings: Any) -> Splits:
    """1,115,394 characters of Shakespeare's plays; the last tenth, the usual held-out part, is
    test. ``settings`` as of ``text_file``.

    Source: Karpathy, "The Unreasonable Effectiveness of Recurrent Neural Networks", 2015,
    https://github.com/karpathy/char-rnn
    """
    file = folder(root) / "TinyShakespeare" / "input.txt"
    if not file.is_file():
        hint = f"it is not there: put char-rnn's input.txt into {file.parent}"
        raise ConfigError("data.root", root, "a folder that holds TinyShakespeare", hint)
    return text_file(file, **settings)


def splits(blocks: Mapping[str, Arrays], made: Tokenizer, notes: tuple[str, ...]) -> Splits:
    return Splits(
        blocks["train"],
        blocks["test"],
        made.names,
        TokenPrediction.word,
        blocks["val"],
        notes,
        made.vocabulary,
    )


def read(root: str | Path | None, encoding: str) -> dict[str, str]:
    """The text of each part's file; of one file the training part."""
    path = Path(root or "").expanduser()
    if root is None or not path.exists():
        raise ConfigError(
            "data.root", root, "a text file, or a folder with train.txt", "none there"
        )
    if path.is_file():
        return {"train": decoded(path, encoding)}
    named = ((part, path / f"{name}.txt") for part, names in PARTS.items() for name in names)
    found = {part: decoded(file, encoding) for part, file in named if file.is_file()}
    if "train" not in found:
        raise ConfigError("data.root", root, "a folder with train.txt, or a text file")
    return found


def cut_off(parts: Mapping[str, str], shares: Mapping[str, float]) -> dict[str, str]:
    """The parts, those that are not there cut off the end of train: test first."""
    found = dict(parts)
    for part in ("test", "val"):
        if part not in found:
            whole = found["train"]
            end = round(len(whole) * (1 - shares[part]))
            found["train"], found[part] = whole[:end], whole[end:]
    return found


def in_blocks(ids: list[int], length: int) -> tuple[Tensor, Tensor]:
    """ids (N, length) and what follows each of them, the last row filled up with padding and -100:
    every token but the first is asked for once."""
    said, asked = torch.tensor(ids[:-1]), torch.tensor(ids[1:])
    more = -len(said) % length
    filled = torch.nn.functional.pad(said, (0, more), value=PAD)
    target = torch.nn.functional.pad(asked, (0, more), value=NOTHING)
    return filled.view(-1, length), target.view(-1, length)
