"""The deployed file, running."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from condenser.deploy.graph import INPUT


def session(path: Path, threads: int = 1) -> Callable[[Tensor], Tensor]:
    """The file as a function images → logits, run by onnxruntime on the CPU."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    running = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(running.run(None, {INPUT: images.cpu().numpy()})[0])
