"""Read a state_dict from a file that other code wrote: tensors only, never code."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from condenser.errors import ConfigError, DamagedError, UnknownError, one_of
from condenser.files import reading

State = dict[str, Tensor]
SAFE, PICKLED = (".safetensors",), (".pt", ".pth", ".bin", ".ckpt", ".tar")
# Where a file holds several states: averaged weights first, as they are what was evaluated.
PREFERRED = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema"),
    *("state_dict", "model_state_dict", "model", "net", "network", "weights", "params"),
)
DEEPEST = 3  # mappings within mappings where a state is looked for
# Beside tensors, the settings and scores that training scripts save: plain values, no code.
SCALAR = np._core.multiarray.scalar  # type: ignore[attr-defined]
PLAIN = [
    *(argparse.Namespace, np.dtype, SCALAR, (SCALAR, "numpy.core.multiarray.scalar")),
    *(np.dtypes.Float64DType, np.dtypes.Float32DType, np.dtypes.Int64DType, np.dtypes.BoolDType),
]
HINT = "save model.state_dict() with torch.save or safetensors"


def weight_files(path: Path) -> list[Path]:
    """The files of weights that ``path`` means; [] if it is none and no folder of some.

    A file with a known suffix is one; a folder as Hugging Face lays it out (config.json beside
    model.safetensors, whole or in parts, or pytorch_model.bin) has one or more.
    """
    if path.suffix in (*SAFE, *PICKLED) and not path.is_dir():
        return [path]
    if not (path / "config.json").is_file():
        return []
    for pattern in ("model.safetensors", "model-*.safetensors", "pytorch_model*.bin"):
        if found := sorted(path.glob(pattern)):
            return found
    return []


def read_state(
    files: Sequence[Path], entry: str | None, key: str, entry_key: str
) -> tuple[State, str]:
    """The tensors by name, and the entry of the file that held them ('' for the file itself).

    Args:
        entry: the one to take where a file holds several states, as ``ema.module``.
        key: the setting that names the files, and ``entry_key`` that of ``entry``, for messages.

    Raises:
        ConfigError: no such file, no tensors in it, or several states and none is known by name.
    """
    whole: State = {}
    for file in files:
        tree = loaded(file, key)
        states = dict(states_of(tree))
        if not states:
            raise ConfigError(key, file, "a file with a state_dict: tensors by name", HINT)
        name = chosen(states, entry, key, entry_key, file)
        whole |= states[name]
    return whole, name


def loaded(file: Path, key: str) -> Any:
    """What the file holds, read without running code."""
    try:
        with reading(file) as handle:  # never blocks on a pipe
            if file.suffix in SAFE:
                return load_file(file)
            with torch.serialization.safe_globals(PLAIN):
                return torch.load(handle, map_location="cpu", weights_only=True)
    except DamagedError:
        raise
    except FileNotFoundError as error:
        raise ConfigError(key, file, "a file of weights", "there is none") from error
    except (OSError, SafetensorError) as error:
        raise ConfigError(key, file, "a readable file of weights", reason(error)) from error
    except Exception as error:  # whatever torch.load raises for what is no checkpoint
        raise ConfigError(key, file, "a file of tensors", refused(error)) from error


def refused(error: Exception) -> str:
    """Why torch would not read it: the class that it names, or damage."""
    named = re.search(r"GLOBAL (\S+) was not an allowed global|Unsupported class (\S+)", str(error))
    if named:
        return f"it holds a {named[1] or named[2]}, which is code; {HINT}"
    return "it is damaged, or no file that torch.save wrote"


def reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:160] or type(error).__name__


def states_of(tree: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, State]]:
    """(entry, tensors by name) of each mapping that is a state_dict; optimisers' are none."""
    if not isinstance(tree, Mapping) or depth > DEEPEST:
        return
    inner = {k: v for k, v in tree.items() if isinstance(v, Mapping) and isinstance(k, str)}
    tensors = {k: v for k, v in tree.items() if isinstance(v, Tensor) and isinstance(k, str)}
    if tensors and not inner:
        yield path, tensors
    for name, value in inner.items():
        if "optim" not in name:
            yield from states_of(value, f"{path}.{name}".lstrip("."), depth + 1)


def chosen(
    states: Mapping[str, State], entry: str | None, key: str, entry_key: str, file: Path
) -> str:
    """The state that is asked for, the only one, or the one that is known by its name."""
    if entry is not None:
        if entry not in states:
            raise UnknownError(entry_key, entry, states)
        return entry
    if len(states) == 1:
        return next(iter(states))
    for name in PREFERRED:
        for path in states:
            if path == name or path.startswith(f"{name}."):
                return path
    allowed = f"a file with one state_dict, or {entry_key}={one_of(states)}"
    raise ConfigError(key, file, allowed)
