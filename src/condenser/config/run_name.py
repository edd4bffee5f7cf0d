"""What a run is called: by what was overridden."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

BESIDE = ("experiment", "name", "runs", "store", "claim")  # not in a run's name
LENGTH = 80  # bytes


def run_name(overrides: Iterable[str], _root_: DictConfig | None = None) -> str:
    """A folder's name from what was overridden: ``temperature=4,alpha=0.1,teacher.seed=2``.

    A key goes by its last word where no other in the config (OmegaConf gives it) ends so: whoever
    sets another thing gets another folder.
    """
    pairs = [word.lstrip("+").split("=", 1) for word in overrides]
    pairs = [p for p in pairs if len(p) == 2 and p[0] not in BESIDE and p[0][:6] != "logger"]
    known = {*(key for key, _ in pairs), *leaves(OmegaConf.to_container(_root_ or DictConfig({})))}
    ends = Counter(map(last_word, known))
    keys = [key if ends[last_word(key)] > 1 else last_word(key) for key, _ in pairs]
    values = [plain(value.strip("[]{}'\"/ ")) for _, value in pairs]
    words = (f"{key}={value}" for key, value in zip(keys, values, strict=True))
    return shortened(",".join(words).replace("stages=", "recipe=") or "default")


def plain(value: str) -> str:
    """A value as a part of a name: without separators, and without ``..``."""
    return re.sub(r"([^\w.=+-]|\.\.+)+", "-", value)


def shortened(name: str) -> str:
    """A name of at most 80 bytes: the words that it begins with, and 8 digits for the others."""
    name = re.sub(r"([^\w.,=+-]|\.\.+)+", "-", name)
    if len(name.encode()) <= LENGTH:
        return name
    digits = hashlib.sha256(name.encode()).hexdigest()[:8]
    start = name.encode()[: LENGTH - 9].decode(errors="ignore")
    words = start if name[len(start)] == "," else start.rpartition(",")[0]
    return f"{words or start}-{digits}"


def last_word(key: str) -> str:
    """``rate`` of ``prune.rate``; the role of ``model@teacher.model``; where else a file goes."""
    group, _, package = key.partition("@")
    if package:
        return package.partition(".")[0] if group == "model" else package
    return group.rpartition(".")[2]


def leaves(node: Any, path: str = "") -> Iterator[str]:
    """The dotted key of every setting below ``node`` but hydra's."""
    for key, value in node.items():
        if isinstance(value, dict) and key != "hydra":
            yield from leaves(value, f"{path}{key}.")
        elif key != "hydra":
            yield f"{path}{key}"
