"""Allocate this machine's GPUs to jobs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


def gpus() -> list[str]:
    """Usable GPUs: those in CUDA_VISIBLE_DEVICES, else all."""
    asked = os.environ.get("CUDA_VISIBLE_DEVICES")
    if asked is not None:
        return [name for name in asked.replace(" ", "").split(",") if name and name != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, encoding="utf-8", timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.split()


def wanted(trainer: Mapping[str, Any]) -> int:
    """How many GPUs a job needs, if there are any."""
    if trainer["accelerator"] in ("cpu", "mps"):
        return 0
    return len(gpus()) if trainer["devices"] == "auto" else int(trainer["devices"])


class GpuAllocator:
    """Assigns GPUs to jobs, least used first; with more jobs than GPUs they share."""

    def __init__(self, names: Sequence[str]) -> None:
        self.taken = Counter(dict.fromkeys(names, 0))

    def take(self, count: int) -> list[str]:
        """Take ``count`` GPUs, or all if there are fewer."""
        order = sorted(self.taken, key=lambda name: self.taken[name])  # stable: first come first
        taken = order[:count]
        self.taken.update(taken)
        return taken

    def release(self, taken: Sequence[str]) -> None:
        self.taken.subtract(taken)
