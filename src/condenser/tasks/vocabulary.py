"""Token ids: what stands for padding and for unknown words, and how many ids there are."""

from __future__ import annotations

from dataclasses import dataclass

PAD, UNK, BOS, EOS = range(4)


@dataclass(frozen=True)
class Vocabulary:
    """What the ids of a data set are.

    Attributes:
        size: ids are 0 (padding) up to, not including, this.
        tokenizer: what makes ids of a text, as JSON (``condenser.data.tokenizing``); None: the ids
            come from elsewhere.
    """

    size: int
    tokenizer: str | None = None
