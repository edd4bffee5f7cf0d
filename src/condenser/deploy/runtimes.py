"""Runtimes that execute deployed files, without torch.

As a script, ``python -P runtimes.py FILE THREADS`` loads the file, runs one image in this process
and prints its peak memory in bytes.
"""

from __future__ import annotations

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

META = "condenser"  # prefix of our metadata keys in a file
SCALE, ZERO = f"{META}_logits_scale", f"{META}_logits_zero_point"
LAYOUT = f"{META}_layout"  # NHWC, where images have their channels last
SHAPE = f"{META}_shape"  # JSON: the longest input
TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(int64)": np.int64}


def sides(found: Sequence[Any], longest: str | None) -> tuple[int, ...]:
    """The sides of one input, where it may be of any length the longest that training saw."""
    known = json.loads(longest) if longest else [1] * (len(found) - 1)
    pairs = zip(found[1:], known, strict=True)
    return tuple(side if isinstance(side, int) else most for side, most in pairs)


class Running(ABC):
    """A loaded file.

    Attributes:
        name: of the runtime, as in records.
        shape: (C, H, W) of an image, or (H, W, C); of token ids, whose length varies, the longest.
        nhwc: whether it is the latter.
        dtype: of the input: float32, normalised; uint8, raw; int64, token ids.
        grid: scale and zero point of integer logits, else None.
    """

    name: ClassVar[str]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    grid: tuple[float, int] | None = None
    nhwc: bool = False

    @staticmethod
    @abstractmethod
    def load() -> None:
        """Import the runtime."""

    @abstractmethod
    def __init__(self, path: Path, threads: int) -> None: ...

    @abstractmethod
    def run(self, images: np.ndarray) -> np.ndarray:
        """Images (n, *shape) → outputs (n, outputs)."""


class OnnxRuntime(Running):
    """An ONNX graph on the CPU, with denormals flushed to zero."""

    name = "onnxruntime cpu"

    @staticmethod
    def load() -> None:
        import onnxruntime  # noqa: F401

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        (image,) = self.session.get_inputs()
        notes = self.session.get_modelmeta().custom_metadata_map
        self.image, self.shape = image.name, sides(image.shape, notes.get(SHAPE))
        self.dtype = np.dtype(TYPES[image.type])
        self.grid = (float(notes[SCALE]), int(notes[ZERO])) if SCALE in notes else None
        self.nhwc = LAYOUT in notes

    def run(self, images: np.ndarray) -> np.ndarray:
        return self.session.run(None, {self.image: images})[0]


class OpenVino(Running):
    """OpenVINO's own format on the CPU, float32 where the file is not in integers.

    By default it would use bfloat16 on processors that support it.
    """

    name = "openvino cpu"

    @staticmethod
    def load() -> None:
        import openvino  # noqa: F401

    def __init__(self, path: Path, threads: int) -> None:
        import openvino

        core = openvino.Core()
        model = core.read_model(str(path))
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
        }
        compiled = core.compile_model(model, "CPU", settings)
        image = compiled.input(0)
        found = [None if side.is_dynamic else side.get_length() for side in image.partial_shape]
        known = [SHAPE] if model.has_rt_info([SHAPE]) else None
        self.shape = sides(found, model.get_rt_info(known).astype(str) if known else None)
        self.dtype = np.dtype(image.element_type.to_dtype())
        if model.has_rt_info([SCALE]):
            notes = [model.get_rt_info([key]) for key in (SCALE, ZERO)]
            self.grid = (float(notes[0].astype(str)), int(notes[1].astype(str)))
        self.nhwc = model.has_rt_info([LAYOUT])
        self.request = compiled.create_infer_request()

    def run(self, images: np.ndarray) -> np.ndarray:
        return self.request.infer({0: images})[0]


class ExecuTorch(Running):
    """An ExecuTorch program with XNNPACK on the CPU; it takes one image at a time."""

    name = "executorch xnnpack cpu"

    @staticmethod
    def load() -> None:
        import executorch.runtime  # noqa: F401

    def __init__(self, path: Path, threads: int) -> None:
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime

        portable_lib._unsafe_reset_threadpool(threads)  # its only switch, before anything is loaded
        self.program = Runtime.get().load_program(path)
        self.method = self.program.load_method("forward")
        self.nhwc = LAYOUT in self.program.method_names
        image = self.method.metadata.input_tensor_meta(0)
        self.shape = tuple(image.sizes())[1:]
        self.dtype = np.dtype(np.uint8 if image.dtype() == 0 else np.float32)  # 0: torch's Byte

    def run(self, images: np.ndarray) -> np.ndarray:
        import torch

        ones = torch.from_numpy(images).split(1)
        return np.concatenate([self.method.execute([one])[0].numpy().copy() for one in ones])


RUNTIMES: dict[str, type[Running]] = {".onnx": OnnxRuntime, ".xml": OpenVino, ".pte": ExecuTorch}


def peak_bytes() -> int:
    """Peak memory of this process since ``forget_peak``; since its start on other systems."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def forget_peak() -> None:
    """Reset the peak to the current usage, where Linux allows it."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        return


def main(file: str, threads: str) -> None:
    path = Path(file)
    kind = RUNTIMES[path.suffix]
    kind.load()
    forget_peak()
    before = peak_bytes()
    running = kind(path, int(threads))
    running.run(np.zeros((1, *running.shape), running.dtype))
    print(json.dumps({"peak_bytes": peak_bytes() - before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
