"""The packed file: exactly what is needed to rebuild a network.

    CNDP, version (1 byte), bytes of the head (LEB128), head, tensors, checksum (4)

The head is JSON, deflated with the dictionary of ``words``: the model spec, and of each tensor its
kind and bytes as one number; where the network itself does not say its name, dtype and shape, of
all [name, dtype, shape, kind, bytes]. The checksum is BLAKE2b over everything before it.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from condenser.checkpoint.model_spec import ModelSpec, described
from condenser.checkpoint.packed import codes
from condenser.checkpoint.packed.head import (
    NAMES,
    Layout,
    bounded,
    check_rows,
    entries_in,
    filled_in,
    layout,
    read_head,
    written,
)
from condenser.compress import Quantized
from condenser.errors import DamagedError
from condenser.models import weights

MAGIC, VERSION = b"CNDP", 3
START = struct.Struct("<4sB")
CHECK = 4
Parts = Mapping[str, tuple[Tensor, codes.Coded]]
TYPES = {name: dtype for dtype, name in NAMES.items()}


class Row(NamedTuple):
    """One tensor of a packed file, or its head or checksum.

    kind: how it is coded (plain, labels, sparse, steps); bound: entropy bound in bytes; overhead:
    bytes of the symbol frequencies, or what it took to learn them.
    """

    name: str
    kind: str
    entries: int
    bytes: int
    bound: float
    overhead: int


def pack(spec: ModelSpec, model: nn.Module) -> bytes:
    """The network as one file: entropy-coded weights, zeros and codebooks stored sparsely.

    Weights that were quantised are stored as their codes. ``unpack`` gives the same bits back.
    """
    return assembled(spec, model, encoded(spec, model))


def encoded(spec: ModelSpec, model: nn.Module) -> Parts:
    """Every tensor in its shortest encoding."""
    state = state_of(spec, model)
    return {name: (tensor, codes.encode(bits_of(tensor))) for name, tensor in state.items()}


def assembled(spec: ModelSpec, model: nn.Module, coded: Parts) -> bytes:
    """Assemble the file from the spec and these tensors."""
    body = b"".join([start(spec, model, coded), *(code.data for _, code in coded.values())])
    return body + checksum(body)


def start(spec: ModelSpec, model: nn.Module, coded: Parts) -> bytes:
    """The file up to its tensors."""
    rows = [
        (name, NAMES[t.dtype], list(t.shape), code.kind, len(code.data))
        for name, (t, code) in coded.items()
    ]
    head = written(described(spec, model), rows, known(spec))
    return START.pack(MAGIC, VERSION) + codes.numbers([len(head)]) + head


def known(spec: ModelSpec) -> Layout | None:
    """The layout that a reader finds by building the network; None where it could not."""
    try:
        with torch.device("meta"):
            return layout(spec, spec.build())
    except Exception:  # whatever a class from outside raises; then rows say it all
        return None


def unpack(data: bytes, trusted: Sequence[str] = ()) -> tuple[ModelSpec, nn.Module]:
    """The packed network, bit for bit, in eval mode.

    Raises:
        DamagedError: the bytes are cut, altered, hostile, of another file or of another version.
    """
    try:
        return rebuilt(*opened(data), entries_in(len(data)), trusted)
    except DamagedError:
        raise
    except BaseException as error:  # anything the parsing libraries raise on bad bytes
        if not (isinstance(error, Exception) or type(error).__name__ == "PanicException"):
            raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise DamagedError(f"the packed model cannot be rebuilt: {reason}") from error


def rebuilt(
    head: list[Any], body: bytes, most: int, trusted: Sequence[str]
) -> tuple[ModelSpec, nn.Module]:
    """The network of a head and the bytes of its tensors, of at most so many numbers."""
    rows = head[1]
    by_network = all(type(row) is int for row in rows)
    if not by_network:
        check_rows(rows, len(body), most)
    spec = ModelSpec.from_json(head[0])
    with torch.device("meta"), bounded(len(rows), most), suppress(NotImplementedError):
        sketch = spec.build(trusted)
        rows = filled_in(rows, layout(spec, sketch)) if by_network else rows
    check_rows(rows, len(body), most)
    state, place = {}, 0
    for name, kind, shape, how, size in rows:
        part, place, dtype = body[place : place + size], place + size, TYPES[kind]
        flat = codes.decode(how, part, width_of(dtype), math.prod(shape))
        state[name] = tensor_of(flat, dtype, shape)
    for operation in spec.operations:
        if isinstance(operation, Quantized):
            state = operation.decode(state)
    model = spec.build(trusted)
    weights.fill(model, state, head[0].get("versions", {}))
    return spec, model.eval()


def table(spec: ModelSpec, model: nn.Module) -> list[Row]:
    """Byte breakdown of ``pack``: a row per tensor, then head and checksum; rows add up."""
    coded = encoded(spec, model)
    rows = [
        Row(name, code.kind, tensor.numel(), len(code.data), code.bound, code.overhead)
        for name, (tensor, code) in coded.items()
    ]
    around = len(start(spec, model, coded)) + CHECK
    return [*rows, Row("head and checksum", "json", 0, around, 0.0, around)]


def state_of(spec: ModelSpec, model: nn.Module) -> Mapping[str, Tensor]:
    """The stored tensors: the network's state, with quantised weights as codes."""
    state = weights.kept(model)
    for operation in reversed(spec.operations):
        if isinstance(operation, Quantized):
            state = operation.encode(state)
    return state


def opened(data: bytes) -> tuple[list[Any], bytes]:
    """Head, and the bytes of all tensors, verified."""
    if len(data) < START.size + 1 + CHECK or data[: len(MAGIC)] != MAGIC:
        raise DamagedError("these bytes are no packed model")
    body, check = data[:-CHECK], data[-CHECK:]
    _, version = START.unpack_from(body)
    if version != VERSION:
        kind = "a later" if version > VERSION else "an older"
        raise DamagedError(f"a packed model of version {version}, {kind} one; this reads {VERSION}")
    if checksum(body) != check:
        raise DamagedError("the packed model is damaged: its checksum is another")
    (length,), rest = codes.read_numbers(body[START.size :], 1)
    if length > len(rest):
        raise DamagedError(f"its head is to be {length} bytes, and the file ends before")
    return read_head(rest[:length]), rest[length:]


def checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=CHECK).digest()


def width_of(dtype: torch.dtype) -> np.dtype[Any]:
    """The unsigned integer type of the same width."""
    return np.dtype(f"<u{dtype.itemsize}")


def bits_of(tensor: Tensor) -> codes.Bits:
    raw = tensor.reshape(-1).view(torch.uint8).numpy() if tensor.numel() else np.empty(0, np.uint8)
    return raw.view(width_of(tensor.dtype))


def tensor_of(bits: codes.Bits, dtype: torch.dtype, shape: list[int]) -> Tensor:
    raw = torch.from_numpy(np.ascontiguousarray(bits).view(np.uint8).copy())
    return raw.view(dtype).reshape(shape)
