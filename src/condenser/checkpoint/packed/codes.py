"""Encode arrays: plain, as labels into a codebook, as a mask with the non-zero values, or as small
multiples of a power of two.

Values are compared bitwise, so -0.0 differs from 0.0 and decoding is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from condenser.checkpoint.packed import adaptive

Bits = npt.NDArray[Any]  # unsigned integers, flat
PRECISION = 24  # bits of a probability in the coder's table
MOST = 2**12  # distinct values up to which labels are tried


class Coded(NamedTuple):
    """How an array is stored.

    kind: of ``KINDS``. bound: entropy bound in bytes, Σ n·H(p), plus the values that a codebook or
    a mask stores as they are. overhead: bytes of the symbol frequencies.
    """

    kind: str
    data: bytes
    bound: float
    overhead: int = 0


def encode(bits: Bits) -> Coded:
    """The shortest encoding of all kinds."""
    plain = Coded("plain", bits.tobytes(), bits.nbytes)
    if not bits.size:
        return plain
    found = plain, *labels(bits), *sparse(bits), *steps(bits)
    return min(found, key=lambda coded: len(coded.data))


def decode(kind: str, data: bytes, dtype: np.dtype[Any], count: int) -> Bits:
    """The inverse of ``encode``. Raises ValueError for invalid bytes."""
    if kind not in READERS:
        raise ValueError(f"unknown kind {kind!r}")
    return READERS[kind](data, dtype, count)


def labels(bits: Bits) -> list[Coded]:
    """A codebook, its value frequencies, and the range-coded labels."""
    if len(np.unique(bits[: 4 * MOST])) > MOST:  # no need to sort them all
        return []
    values, places, counts = np.unique(bits, return_inverse=True, return_counts=True)
    if len(values) > MOST:
        return []
    head = numbers([len(values), *counts.tolist()])
    data = head + values.tobytes() + symbols(places.reshape(-1), counts)
    return [Coded("labels", data, entropy(counts) + values.nbytes, len(head))]


def read_labels(data: bytes, dtype: np.dtype[Any], count: int) -> Bits:
    (size,), data = read_numbers(data, 1)
    counts, data = read_numbers(data, size)
    if not size or not all(counts):
        raise ValueError("a codebook without values, or one that never comes")
    width = size * dtype.itemsize
    values = np.frombuffer(data[:width], dtype, size)
    return values[read_symbols(data[width:], np.array(counts), count)]


def sparse(bits: Bits) -> list[Coded]:
    """The range-coded mask of non-zeros, and their values."""
    alive = bits != 0
    counts = np.array([int((~alive).sum()), int(alive.sum())])
    if not counts.all():
        return []
    mask = symbols(alive.astype(np.int32), counts)
    head = numbers([*counts.tolist(), len(mask)])
    data = head + mask + bits[alive].tobytes()
    return [Coded("sparse", data, entropy(counts) + bits[alive].nbytes, len(head))]


def read_sparse(data: bytes, dtype: np.dtype[Any], count: int) -> Bits:
    (zeros, alive, width), data = read_numbers(data, 3)
    if not zeros or not alive:
        raise ValueError("a mask of one kind")
    mask = read_symbols(data[:width], np.array([zeros, alive]), count).astype(bool)
    bits = np.zeros(count, dtype)
    bits[mask] = np.frombuffer(data[width:], dtype)
    return bits


def steps(bits: Bits) -> list[Coded]:
    """The exponent of a power of two, and adaptively coded multiples of it: signed bytes, or
    float32."""
    if bits.size > adaptive.MOST or bits.dtype.itemsize not in (1, 4):
        return []
    values = bits.view(np.int8 if bits.dtype.itemsize == 1 else np.float32).astype(np.float64)
    exponent = lowest(values)
    if exponent is None or not np.abs(values).max() <= adaptive.LARGEST * 2.0**exponent:
        return []
    multiples = (values / 2.0**exponent).astype(int)
    data = bytes([exponent + 128]) + adaptive.encode(multiples.tolist())
    if not np.array_equal(read_steps(data, bits.dtype, bits.size), bits):
        return []  # -0.0
    bound = min(entropy(np.unique(multiples, return_counts=True)[1]), len(data))
    return [Coded("steps", data, bound, len(data) - int(bound))]


def lowest(values: npt.NDArray[np.float64]) -> int | None:
    """The exponent of the largest power of two, of -128 to 127, that all are multiples of."""
    if not np.isfinite(values).all():
        return None
    mantissa, exponent = np.frexp(values[values != 0])
    whole = (mantissa * 2**53).astype(np.int64)
    found = exponent - 53 + np.frexp((whole & -whole).astype(np.float64))[1] - 1
    return int(np.clip(found.min(), -128, 127)) if len(found) else 0


def read_steps(data: bytes, dtype: np.dtype[Any], count: int) -> Bits:
    if not data or count > adaptive.MOST or dtype.itemsize not in (1, 4):
        raise ValueError(f"{count} numbers of {dtype.itemsize} bytes as multiples")
    multiples = np.array(adaptive.decode(data[1:], count), np.float64)
    values = multiples * 2.0 ** (data[0] - 128)
    kind = np.int8 if dtype.itemsize == 1 else np.float32
    return values.astype(kind).view(dtype)


def read_plain(data: bytes, dtype: np.dtype[Any], count: int) -> Bits:
    if len(data) != count * dtype.itemsize:
        raise ValueError(f"{len(data)} bytes for {count} numbers of {dtype.itemsize}")
    return np.frombuffer(data, dtype, count)


READERS: dict[str, Callable[[bytes, np.dtype[Any], int], Bits]] = {
    "plain": read_plain,
    "labels": read_labels,
    "sparse": read_sparse,
    "steps": read_steps,
}
KINDS = tuple(READERS)


def entropy(counts: npt.NDArray[Any]) -> float:
    """Bytes: -Σ n_i log₂(n_i / n) / 8."""
    share = counts / counts.sum()
    return float(-(counts * np.log2(share)).sum() / 8)


def symbols(places: npt.NDArray[Any], counts: npt.NDArray[Any]) -> bytes:
    """Symbols entropy-coded by frequency, as 32-bit words of an rANS coder; one symbol needs none.

    Source: Duda, "Asymmetric numeral systems", 2013, https://arxiv.org/abs/1311.2540
    """
    if len(counts) < 2:
        return b""
    import constriction

    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(places.astype(np.int32), distribution(counts))
    return bytes(coder.get_compressed().astype("<u4").tobytes())


def read_symbols(data: bytes, counts: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    if sum(counts.tolist()) != count:
        raise ValueError(f"{sum(counts.tolist())} symbols for {count} places")
    if len(counts) < 2:
        return np.zeros(count, np.int32)
    import constriction

    coder = constriction.stream.stack.AnsCoder(np.frombuffer(data, "<u4").astype(np.uint32))
    found: npt.NDArray[Any] = coder.decode(distribution(counts), count)
    return found


def distribution(counts: npt.NDArray[Any]) -> Any:
    """The coder's table: whole 2⁻²⁴ths, which float64 holds and sums exactly, so that no machine's
    rounding is in it."""
    import constriction

    shares = whole_shares([int(count) for count in counts])
    exact = np.array(shares, np.float64) / 2**PRECISION
    return constriction.stream.model.Categorical(exact, perfect=False)


def whole_shares(counts: list[int]) -> list[int]:
    """Integers in proportion to the counts, each at least 1, whose sum is 2²⁴."""
    total = sum(counts)
    shares = [max(1, (count << PRECISION) // total) for count in counts]
    shares[counts.index(max(counts))] += (1 << PRECISION) - sum(shares)
    return shares


def numbers(values: list[int]) -> bytes:
    """Non-negative integers as LEB128: seven bits per byte, low bits first."""
    found = bytearray()
    for value in values:
        while value >= 0x80:
            found.append(value & 0x7F | 0x80)
            value >>= 7
        found.append(value)
    return bytes(found)


def read_numbers(data: bytes, count: int) -> tuple[list[int], bytes]:
    """``count`` numbers and the remaining bytes. Raises ValueError if the bytes end early."""
    found, place = [], 0
    for _ in range(count):
        value = shift = 0
        while True:
            if place >= len(data):
                raise ValueError("it ends within a number")
            byte = data[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift > 56:
                raise ValueError("a number of more than 8 bytes")
            if byte < 0x80:
                break
        found.append(value)
    return found, data[place:]
