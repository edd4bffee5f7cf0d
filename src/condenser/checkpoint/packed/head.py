"""The head of a packed file. Read, it is untrusted: every size in it is bounded before use."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.parameter import is_lazy

from condenser.checkpoint.model_spec import ModelSpec
from condenser.checkpoint.packed import codes
from condenser.checkpoint.packed.words import WORDS
from condenser.compress import Quantized
from condenser.errors import DamagedError
from condenser.models import weights

Row = Sequence[Any]  # name, dtype, shape, kind, bytes
Layout = list[tuple[str, str, list[int]]]

MOST_HEAD = 2**24  # bytes of the head's text: enough for 100,000 tensors
FREE, DENSEST = 2**24, 2**10  # numbers allowed for any file, and more for each of its bytes
TOO_MANY = ": too many for a file of these bytes"
NAMES = {
    torch.float32: "f4",
    torch.float64: "f8",
    torch.float16: "f2",
    torch.bfloat16: "b2",
    torch.int64: "i8",
    torch.int32: "i4",
    torch.int16: "i2",
    torch.int8: "i1",
    torch.uint8: "u1",
    torch.bool: "t1",
}


def read_head(data: bytes) -> list[Any]:
    """The head: a model spec, and per tensor a row, or a number for ``filled_in``."""
    reader = zlib.decompressobj(-zlib.MAX_WBITS, zdict=WORDS)
    text = reader.decompress(data, MOST_HEAD)
    if not reader.eof:
        raise DamagedError(f"its head ends too early, or is more than {MOST_HEAD:,} bytes")
    head = json.loads(text)
    if not (isinstance(head, list) and len(head) == 2 and isinstance(head[1], list)):
        raise DamagedError("its head is no model spec with a list of tensors")
    if not isinstance(head[0], dict):
        raise DamagedError("its head has no model spec")
    return head


def written(spec: Mapping[str, Any], rows: Sequence[Row], known: Layout | None) -> bytes:
    """The head's bytes: rows are numbers where the network says all else of them."""
    plain = known is not None and [tuple(row[:3]) for row in rows] == known
    short = [codes.KINDS.index(how) + len(codes.KINDS) * n for *_, how, n in rows]
    text = json.dumps([spec, short if plain else rows], separators=(",", ":"))
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS, memLevel=9, zdict=WORDS)
    return deflate.compress(text.encode()) + deflate.flush()


def layout(spec: ModelSpec, model: nn.Module) -> Layout:
    """Name, dtype and shape of every tensor that is stored of such a network, in their order."""
    state, tied = model.state_dict(), weights.aliases(model)
    kept = {name: tensor for name, tensor in state.items() if name not in tied}
    for operation in reversed(spec.operations):
        if isinstance(operation, Quantized):
            kept = operation.encode(kept)
    return [(name, NAMES[t.dtype], list(t.shape)) for name, t in kept.items()]


def filled_in(numbers: Sequence[int], known: Layout) -> list[Any]:
    """Rows of numbers, kind + kinds · bytes, with what the network says of its tensors."""
    if len(numbers) != len(known):
        raise DamagedError(f"it has {len(numbers)} tensors, and its network {len(known)}")
    kinds = codes.KINDS
    pairs = zip(known, numbers, strict=True)
    return [[*tensor, kinds[n % len(kinds)], n // len(kinds)] for tensor, n in pairs]


def check_rows(rows: list[Any], size: int, most: int) -> None:
    """DamagedError for rows that do not describe tensors of this many bytes and entries."""
    names, entries, total = set(), 0, 0
    for row in rows:
        if not (isinstance(row, list) and len(row) == 5 and isinstance(row[0], str)):
            raise DamagedError(f"a row of its head is no tensor: {str(row)[:80]}")
        name, kind, shape, how, length = row
        if name in names:
            raise DamagedError(f"its head has the tensor {name[:80]} twice")
        if not (isinstance(shape, list) and all(whole(side) for side in [*shape, length])):
            raise DamagedError(f"{name[:80]}: its shape and bytes are to be whole numbers from 0")
        if kind not in NAMES.values() or how not in codes.KINDS:
            raise DamagedError(f"{name[:80]}: nothing is stored as {kind!s:.20}, {how!s:.20}")
        names.add(name)
        total += length
        entries += math.prod(shape)
        if entries > most:
            raise DamagedError(f"{name[:80]}: with it there are {entries:,} numbers{TOO_MANY}")
    if total != size:
        raise DamagedError(f"its tensors are to be {total:,} bytes, and there are {size:,}")


def whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48


def entries_in(size: int) -> int:
    """How many numbers a file of this many bytes may claim to hold."""
    return FREE + size * DENSEST


@contextmanager
def bounded(tensors: int, entries: int) -> Iterator[None]:
    """DamagedError if building would create more parameters than the file has, before they are
    allocated: a depth or width in the head can be any number."""
    made = [0, 0]

    def count(_: nn.Module, name: str, parameter: Any) -> None:
        made[0] += 1
        made[1] += 0 if parameter is None or is_lazy(parameter) else parameter.numel()
        if made[0] > 4 * tensors + 1000 or made[1] > 4 * entries:
            raise DamagedError(
                f"the network that its head describes has {made[1]:,} numbers"
                f" in {made[0]:,} parameters{TOO_MANY}"
            )

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
