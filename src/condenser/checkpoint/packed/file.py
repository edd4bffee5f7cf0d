"""The packed file: exactly what is needed to rebuild a network.

    CNDP, version (1 byte), bytes of the head (4, little-endian), head, tensors, checksum (8)

The head is zlib-compressed JSON: the model spec, and for each tensor [name, dtype, shape, kind,
bytes]. The checksum is BLAKE2b over everything before it.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from condenser.checkpoint.model_spec import ModelSpec, described
from condenser.checkpoint.packed import codes
from condenser.checkpoint.packed.head import NAMES, bounded, check_rows, entries_in, read_head
from condenser.compress import Quantized
from condenser.errors import DamagedError
from condenser.models import weights

MAGIC, VERSION = b"CNDP", 1
START = struct.Struct("<4sBI")
CHECK = 8
Parts = Mapping[str, tuple[Tensor, codes.Coded]]
TYPES = {name: dtype for dtype, name in NAMES.items()}


class Row(NamedTuple):
    """One tensor of a packed file, or its head or checksum.

    kind: how it is coded (plain, labels, sparse); bound: entropy bound in bytes; overhead: bytes of
    the symbol frequencies.
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
    return assembled(described(spec, model), encoded(spec, model))


def encoded(spec: ModelSpec, model: nn.Module) -> Parts:
    """Every tensor in its shortest encoding."""
    state = state_of(spec, model)
    return {name: (tensor, codes.encode(bits_of(tensor))) for name, tensor in state.items()}


def assembled(described: Mapping[str, Any], coded: Parts) -> bytes:
    """Assemble the file from these parts and the spec as JSON."""
    tensors = [
        [name, NAMES[t.dtype], list(t.shape), code.kind, len(code.data)]
        for name, (t, code) in coded.items()
    ]
    text = json.dumps([described, tensors], separators=(",", ":"))
    head = zlib.compress(text.encode(), 9)
    body = START.pack(MAGIC, VERSION, len(head)) + head
    body += b"".join(code.data for _, code in coded.values())
    return body + checksum(body)


def unpack(data: bytes, trusted: Sequence[str] = ()) -> tuple[ModelSpec, nn.Module]:
    """The packed network, bit for bit, in eval mode.

    Raises:
        DamagedError: the bytes are cut, altered, hostile, of another file or of another version.
    """
    try:
        return rebuilt(*opened(data), len(data), trusted)
    except DamagedError:
        raise
    except BaseException as error:  # anything the parsing libraries raise on bad bytes
        if not (isinstance(error, Exception) or type(error).__name__ == "PanicException"):
            raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise DamagedError(f"the packed model cannot be rebuilt: {reason}") from error


def rebuilt(
    head: list[Any], tensors: list[bytes], size: int, trusted: Sequence[str]
) -> tuple[ModelSpec, nn.Module]:
    """The network of a head and its tensors, out of a file of so many bytes."""
    spec, most = ModelSpec.from_json(head[0]), entries_in(size)
    with torch.device("meta"), bounded(len(tensors), most), suppress(NotImplementedError):
        spec.build(trusted)
    state = {}
    for (name, kind, shape, how, _), part in zip(head[1], tensors, strict=True):
        dtype = TYPES[kind]
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
    around = len(assembled(described(spec, model), coded)) - sum(row.bytes for row in rows)
    return [*rows, Row("head and checksum", "json", 0, around, 0.0, around)]


def state_of(spec: ModelSpec, model: nn.Module) -> Mapping[str, Tensor]:
    """The stored tensors: the network's state, with quantised weights as codes."""
    state = weights.kept(model)
    for operation in reversed(spec.operations):
        if isinstance(operation, Quantized):
            state = operation.encode(state)
    return state


def opened(data: bytes) -> tuple[list[Any], list[bytes]]:
    """Head and tensor bytes, verified."""
    if len(data) < START.size + CHECK or data[: len(MAGIC)] != MAGIC:
        raise DamagedError("these bytes are no packed model")
    body, check = data[:-CHECK], data[-CHECK:]
    _, version, length = START.unpack_from(body)
    if version != VERSION:
        kind = "a later" if version > VERSION else "an older"
        raise DamagedError(f"a packed model of version {version}, {kind} one; this reads {VERSION}")
    if checksum(body) != check:
        raise DamagedError("the packed model is damaged: its checksum is another")
    start = START.size + length
    if start > len(body):
        raise DamagedError(f"its head is to be {length} bytes, and the file ends before")
    head = read_head(body[START.size : start])
    check_rows(head[1], len(body) - start, entries_in(len(data)))
    place, parts = start, []
    for *_, size in head[1]:
        parts.append(body[place : place + size])
        place += size
    return head, parts


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
