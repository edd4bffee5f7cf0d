"""Text data as hashed bags of words, shaped as images one pixel high."""

from __future__ import annotations

from pathlib import Path

import torch

from condenser.data.samples import Arrays, Splits, split_test
from condenser.data.torchvision_sets import folder
from condenser.errors import ConfigError, DamagedError, count
from condenser.tasks import Binary

LABELS = {"ham": 0.0, "spam": 1.0}


def sms_spam(root: str | Path, features: int = 1024) -> Splits:
    """SMS Spam Collection: 5,574 text messages, 747 of them spam; a fixed 20 % are the test set.

    Words are hashed to ``features`` counts, uint8 (1, 1, features). Messages that repeat count once
    (5,171 are left), or the test part would hold some that were trained on.
    Source: Almeida, Gómez Hidalgo, Yamakami, "Contributions to the Study of SMS Spam Filtering",
    2011, https://doi.org/10.1145/2034691.2034742; https://archive.ics.uci.edu/dataset/228

    Raises:
        ConfigError: no file of messages under the root, or no features.
        DamagedError: a line of it that is not ham or spam, a tab and a message.
    """
    count("data.source.features", features)
    pairs = messages(folder(root) / "SMSSpam" / "sms.tsv", root)
    targets = torch.tensor([[LABELS[label]] for label, _ in pairs])
    samples = Arrays(counts([text for _, text in pairs], features), targets)
    return split_test(samples, ["spam"], task=Binary.word)


def messages(path: Path, root: str | Path) -> list[tuple[str, str]]:
    """(ham or spam, text) of each distinct line."""
    if not path.is_file():
        hint = f"it is not there: put UCI's SMSSpamCollection into {path.parent} as {path.name}"
        raise ConfigError("data.root", root, "a folder that holds SMSSpam", hint)
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedError(f"{path}: {error}") from error
    lines = dict.fromkeys(line for line in text.split("\n") if line)
    pairs = []
    for line in lines:
        label, tab, text = line.partition("\t")
        if label not in LABELS or not tab:
            raise DamagedError(
                f"{path}: no line of ham or spam, a tab and a message: {line[:40]!r}"
            )
        pairs.append((label, text))
    return pairs


def counts(texts: list[str], features: int) -> torch.Tensor:
    """Feature-hashed word counts per text, capped at 255: uint8 (N, 1, 1, features).

    Source: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009,
    https://arxiv.org/abs/0902.2206, without its random signs
    """
    from sklearn.feature_extraction.text import HashingVectorizer

    hashing = HashingVectorizer(n_features=features, alternate_sign=False, norm=None)
    found = torch.from_numpy(hashing.transform(texts).toarray())
    return found.clamp(max=255).to(torch.uint8).view(-1, 1, 1, features)
