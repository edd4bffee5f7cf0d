"""The environment of a measurement: hardware, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

# Instruction sets that determine the speed and, on x86, the exactness of int8.
X86 = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
ARM = ("asimd", "asimddp", "i8mm", "sve", "sve2")
NOTABLE = (*X86, *ARM)
PACKAGES = {"lightning": "pytorch-lightning", "onnxruntime": "onnxruntime"}


def hardware() -> str:
    """CPU model, usable cores, notable instruction sets; the GPU if CUDA is in use.

    Example: ``Intel(R) Xeon(R) Processor @ 2.80GHz, 2 cores, avx2 avx512f avx512_vnni``.
    """
    if not torch.cuda.is_initialized():
        return _cpu()
    return f"{_cpu()}; {torch.cuda.get_device_name()}"


@cache
def versions() -> str:
    """Python, torch with its build (+cpu, +cu130), Lightning and onnxruntime if installed.

    Example: ``python 3.11.7, torch 2.14.1+cu130, lightning 2.6.6, onnxruntime 1.31.1``.
    """
    found = [f"python {platform.python_version()}", f"torch {torch.__version__}"]
    for name, package in PACKAGES.items():
        try:
            found.append(f"{name} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def arithmetic(device: str) -> dict[str, Any]:
    """What determines rounding beside the inputs: versions, threads, kernels, processor."""
    kernels = torch.backends
    return {
        "versions": {name: metadata.version(name) for name in ("torch", "torchvision")},
        "threads": torch.get_num_threads(),
        "device": device,
        "cpu": kernels.cpu.get_cpu_capability(),
        "mkldnn": kernels.mkldnn.is_available() and kernels.mkldnn.enabled,
        "mkl": kernels.mkl.is_available(),
        "matmul": torch.get_float32_matmul_precision(),
    }


def device_kind(accelerator: str) -> str:
    """The device that Lightning selects for an accelerator: ``cpu``, ``mps``, ``cuda 9.0``.

    The number of a GPU is its compute capability.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "cuda {}.{}".format(*torch.cuda.get_device_capability())
    if accelerator in ("auto", "gpu", "mps") and torch.backends.mps.is_available():
        return "mps"
    return "cpu"


@cache
def commit() -> str | None:
    """Short git hash of this code's checkout, with ``+`` when tracked files were changed.

    None if the code is not tracked by git. Never raises. Cached per process: call it at the start,
    since the code that runs is the code as imported.
    """
    return commit_of(Path(__file__).resolve())


def commit_of(file: Path) -> str | None:
    """``commit`` for the checkout that tracks ``file``.

    An untracked file gives None: a copy installed into some project's .venv is not that project.
    """
    if _git(file, "ls-files", "--error-unmatch", file.name) is None:
        return None
    short = _git(file, "rev-parse", "--short", "HEAD")
    if short is None:
        return None
    changed = _git(file, "status", "--porcelain", "--untracked-files=no") != ""
    return short + ("+" if changed else "")


def _git(file: Path, *arguments: str) -> str | None:
    """Output of git in the file's folder; None if it fails or is not installed."""
    # Inside a git hook GIT_DIR and its kin would point elsewhere.
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(file.parent), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", timeout=10, check=True, env=clean
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@cache
def _cpu() -> str:
    model, flags = _cpuinfo()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ", ".join(filter(None, [model, f"{cores} cores", " ".join(flags)]))


def _cpuinfo() -> tuple[str, list[str]]:
    """The model's name and its notable flags, from Linux's /proc where there is one."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    pairs = [line.split(":", 1) for line in text.splitlines() if ":" in line]
    fields = {key.strip(): value.strip() for key, value in reversed(pairs)}
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    model = fields.get("model name") or platform.processor() or platform.machine()
    return model, [flag for flag in NOTABLE if flag in flags]
