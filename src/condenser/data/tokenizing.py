"""Texts → token ids, by tokenizers trained on the training part or ready-made ones.

Source: https://huggingface.co/docs/tokenizers
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Engine
from torch import Tensor

from condenser.errors import ConfigError, DamagedError, UnknownError, shown
from condenser.files import read_bytes
from condenser.tasks import PAD, Vocabulary

SPECIAL = ("[PAD]", "[UNK]", "[BOS]", "[EOS]")  # ids 0 to 3
Known = dict[str, Any]


class Tokenizer:
    """What makes token ids of a text, known by a description of a few kilobytes.

    ``description`` is JSON with a ``kind``: word and wordpiece (``words``, ids from 4 on),
    character (``alphabet``), bpe (``alphabet`` and ``merges``), or ready (a whole tokenizer.json
    as ``json``).

    Raises:
        DamagedError: it is none.
    """

    def __init__(self, description: str) -> None:
        self.description = description
        try:
            self.known: Known = json.loads(description)
            self.engine = ENGINES[self.known["kind"]](self.known)
        except ConfigError:
            raise
        except Exception as error:  # of damaged text the library raises what it likes
            raise DamagedError(f"no tokenizer: {description[:60]!r}: {error}") from error

    @cached_property
    def size(self) -> int:
        return max(self.engine.get_vocab().values()) + 1

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.size, self.description)

    @property
    def names(self) -> list[str]:
        """The token of each id."""
        found = {n: token for token, n in self.engine.get_vocab().items()}
        return [found.get(n, f"[{n}]") for n in range(self.size)]

    @property
    def json(self) -> str:
        """A tokenizer.json, as the library reads it."""
        return self.engine.to_str()

    def ids(self, texts: Iterable[str]) -> list[list[int]]:
        return [found.ids for found in self.engine.encode_batch(list(texts))]

    def text(self, ids: Sequence[int]) -> str:
        return self.engine.decode(list(ids))


def rows_of(ids: Sequence[Sequence[int]], length: int | None = None) -> Tensor:
    """int64 (N, longest), padded with 0 and cut to ``length``."""
    kept = [row[:length] for row in ids]
    made = torch.full((len(kept), max(map(len, kept), default=1) or 1), PAD)
    for place, row in enumerate(kept):
        made[place, : len(row)] = torch.tensor(row, dtype=torch.int64)
    return made


def trained(
    kind: str, texts: Sequence[str], vocab_size: int, lowercase: bool = True, min_count: int = 1
) -> Tokenizer:
    """A tokenizer of the training part, or the one in a file.

    Args:
        kind: word, character, bpe or wordpiece; or the path of a tokenizer.json.
        texts: of the training part alone.
        vocab_size: ids at most, those of padding, unknown, begin and end among them.
        min_count: a rarer word is unknown (word).

    Raises:
        ConfigError: an unknown kind, or too few ids.
    """
    if kind.endswith(".json"):
        return ready(kind)
    if kind not in TRAINERS:
        raise UnknownError("data.source.tokenizer", kind, [*TRAINERS, "a tokenizer.json"])
    if vocab_size <= len(SPECIAL):
        raise ConfigError("data.source.vocab_size", vocab_size, f"above {len(SPECIAL)}")
    about = {"kind": kind, "lowercase": lowercase}
    found = TRAINERS[kind](texts, vocab_size - len(SPECIAL), about, min_count)
    return Tokenizer(json.dumps(about | found, ensure_ascii=False, separators=(",", ":")))


def ready(path: str) -> Tokenizer:
    """The tokenizer of a tokenizer.json file; its padding must be 0."""
    file, key = Path(path).expanduser(), "data.source.tokenizer"
    try:
        found = json.loads(read_bytes(file, 1 << 28))
    except (OSError, ValueError, DamagedError) as error:
        raise ConfigError(key, path, "a tokenizer.json", " ".join(str(error).split())) from error
    if not isinstance(found, dict) or "model" not in found:
        raise ConfigError(key, path, "a tokenizer.json of the tokenizers library")
    found |= {"padding": None, "truncation": None}
    made = Tokenizer(json.dumps({"kind": "ready", "json": found}, ensure_ascii=False))
    if made.names[PAD].strip("[]<>").lower() != "pad":
        raise ConfigError(key, path, f"one whose id 0 is padding; it is {shown(made.names[PAD])}")
    return made


# kinds ------------------------------------------------------------------------------------------


def words_of(texts: Iterable[str], size: int, about: Known, min_count: int) -> Known:
    """The most frequent words, of equal ones the first in the alphabet."""
    whole = engine(about, {})
    counts: Counter[str] = Counter()
    for text in texts:
        normal = whole.normalizer.normalize_str(text)
        counts.update(word for word, _ in whole.pre_tokenizer.pre_tokenize_str(normal))
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    words = [word for word, n in ranked if n >= min_count and word not in SPECIAL][:size]
    if about["kind"] == "character":
        return {"alphabet": "".join(sorted(words))}
    return {"words": " ".join(sorted(words))}  # in this order they pack best


def merges_of(texts: Iterable[str], size: int, about: Known, _: int) -> Known:
    """Source: Sennrich, Haddow, Birch, 2016, https://arxiv.org/abs/1508.07909"""
    whole = merging(texts, size, about)
    found = json.loads(whole.to_str())["model"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in found["merges"]]
    letters = {*found["vocab"]} - {pair.replace(" ", "") for pair in merges} - {*SPECIAL}
    return {"alphabet": "".join(sorted(letters)), "merges": merges}


def pieces_of(texts: Iterable[str], size: int, about: Known, _: int) -> Known:
    """The letters, and the most frequent pieces that byte pair encoding makes of the words.

    The library's own trainer does not always make the same of the same texts.
    """
    texts = list(texts)
    whole = merging(texts, size, about)
    pieces: Counter[str] = Counter()
    letters = set()
    for found in whole.encode_batch(texts):
        for token, word, before in zip(
            found.tokens, found.words, [None, *found.words[:-1]], strict=True
        ):
            inside = "##" * (word == before)
            pieces[inside + token] += 1
            letters |= {inside + token[:1], *(f"##{letter}" for letter in token[1:])}
    ranked = sorted(pieces, key=lambda piece: (-pieces[piece], piece))
    kept = list(dict.fromkeys([*sorted(letters), *ranked]))[:size]
    return {"words": " ".join(sorted({*kept} - {*SPECIAL}))}


def merging(texts: Iterable[str], size: int, about: Known) -> Engine:
    """Byte pair encoding, trained."""
    whole = engine(about, {}, trained_by_merging=True)
    own: Any = {"special_tokens": list(SPECIAL), "show_progress": False}
    whole.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size + len(SPECIAL), **own))
    return whole


def engine(
    known: Known, vocab: dict[str, int], merges: Any = (), trained_by_merging: bool = False
) -> Engine:
    """The library's tokenizer of one of our kinds."""
    unknown, kind = {"unk_token": SPECIAL[1]}, known["kind"]
    own = vocab or {token: n for n, token in enumerate(SPECIAL)}
    model: Any = models.WordLevel(own, **unknown)
    split: Any = pre_tokenizers.Whitespace()
    decoder: Any = None
    if kind == "bpe":
        model = models.BPE(own, list(merges), **unknown)
        split = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
        decoder = decoders.Metaspace()
    elif kind == "wordpiece":
        model, decoder = models.WordPiece(own, **unknown), decoders.WordPiece()
    elif kind == "character":
        split, decoder = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated"), decoders.Fuse()
    made = Engine(models.BPE(**unknown) if trained_by_merging else model)
    lower = [normalizers.Lowercase()] if known["lowercase"] else []
    made.normalizer = normalizers.Sequence([normalizers.NFC(), *lower])
    made.pre_tokenizer = split
    if decoder is not None:
        made.decoder = decoder
    return made


def of_words(known: Known) -> Engine:
    return engine(known, numbered(known["words"].split(" ")))


def of_characters(known: Known) -> Engine:
    return engine(known, numbered(known["alphabet"]))


def of_merges(known: Known) -> Engine:
    merges = [tuple(pair.split(" ")) for pair in known["merges"]]
    return engine(known, numbered([*known["alphabet"], *map("".join, merges)]), merges)


def of_json(known: Known) -> Engine:
    return Engine.from_str(json.dumps(known["json"]))


def numbered(tokens: Iterable[str]) -> dict[str, int]:
    """Token → id, those that repeat once."""
    return {token: n for n, token in enumerate(dict.fromkeys((*SPECIAL, *tokens)))}


TRAINERS: Mapping[str, Callable[[Iterable[str], int, Known, int], Known]] = {
    "word": words_of,
    "character": words_of,
    "bpe": merges_of,
    "wordpiece": pieces_of,
}
ENGINES: Mapping[str, Callable[[Known], Any]] = {
    "word": of_words,
    "character": of_characters,
    "bpe": of_merges,
    "wordpiece": of_words,
    "ready": of_json,
}
