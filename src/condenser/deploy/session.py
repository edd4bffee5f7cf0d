"""Run a deployed file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from condenser.deploy import runtimes
from condenser.errors import CondenserError


class Session:
    """A deployed file as a function images → logits in float32.

    Attributes:
        runtime: the engine that runs it.
        pixels: whether it takes raw uint8 images instead of normalised float32.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.path, self.threads = path, threads
        self.running = runtimes.RUNTIMES[path.suffix](path, threads)
        self.runtime = self.running.name
        self.pixels = self.running.dtype == "uint8"

    def __call__(self, images: Tensor) -> Tensor:
        said = torch.from_numpy(self.call(images)())
        if self.running.grid is None:
            return said
        scale, zero_point = self.running.grid
        return (said.float() - zero_point) * scale

    def call(self, images: Tensor) -> Callable[[], object]:
        """One call on these images for timing: only the runtime's own work."""
        shown = images.permute(0, 2, 3, 1) if self.running.nhwc else images
        given = shown.cpu().contiguous().numpy()
        assert given.dtype == self.running.dtype, f"{given.dtype}: {self.path} takes another type"
        return lambda: self.running.run(given)


def session(path: Path, threads: int = 1) -> Session:
    """Open the file in its runtime by suffix: .onnx, .xml of OpenVINO, .pte of ExecuTorch."""
    return Session(path, threads)


def peak_bytes(path: Path, threads: int = 1) -> int:
    """Peak memory in bytes of loading the file and running one image.

    Measured in a fresh process: its peak resident memory minus what it used with the runtime
    imported and nothing loaded, so the runtime library itself does not count.

    Raises:
        CondenserError: the process failed.
    """
    command = [sys.executable, "-P", runtimes.__file__, str(path), str(threads)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise CondenserError(f"{path} cannot be run by itself: {last_line(done.stderr)}")
    return json.loads(last_line(done.stdout))["peak_bytes"]


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
