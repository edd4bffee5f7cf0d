"""Counter-based random numbers: a pure function of (seed, index, view, stream)."""

from __future__ import annotations

import torch
from torch import Tensor

_WORD = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


def mix(word: int) -> int:
    """The finaliser of splitmix64 on 64-bit words: full avalanche.

    Source: Steele, Lea, Flood, Fast splittable pseudorandom number generators (2014),
    https://doi.org/10.1145/2660193.2660195; constants of https://prng.di.unimi.it/splitmix64.c
    """
    word &= _WORD
    word = (word ^ (word >> 30)) * _FIRST & _WORD
    word = (word ^ (word >> 27)) * _SECOND & _WORD
    return word ^ (word >> 31)


def key(*words: int) -> int:
    """Combine integers into one unsigned 64-bit seed: h ← mix(h + γ + word), from h = 0."""
    state = 0
    for word in words:
        state = mix(state + _GAMMA + word)
    return state


def uniform(seed: int, index: Tensor, view: int, stream: int, count: int) -> Tensor:
    """Uniform samples in [0, 1), a pure function of (seed, index, view, stream, position).

    u[b, j] = ⌊mix(mix(key(seed, view, stream) + (index[b] + 1)·γ) + (j + 1)·γ) / 2⁴⁰⌋ / 2²⁴,
    the same bits on CPU and GPU (integer arithmetic modulo 2⁶⁴).

    Args:
        index: int64 (B,), positions of the samples in their set.
        view: which augmented version of the samples.
        stream: which consumer (the augmentation's position in its list).
        count: numbers per sample.

    Returns:
        float32 (B, count) on the device of `index`.
    """
    base = _signed(key(seed, view, stream) + _GAMMA)
    state = _mix((index * _signed(_GAMMA)).add_(base))
    position = torch.arange(1, count + 1, device=index.device).mul_(_signed(_GAMMA))
    bits = _mix(state.unsqueeze(1) + position)
    return _shift(bits, 40).to(torch.float32).mul_(2.0**-24)


def _mix(word: Tensor) -> Tensor:
    """`mix` on int64 tensors, in place. Products wrap around, which is arithmetic modulo 2⁶⁴."""
    word.bitwise_xor_(_shift(word, 30)).mul_(_signed(_FIRST))
    word.bitwise_xor_(_shift(word, 27)).mul_(_signed(_SECOND))
    return word.bitwise_xor_(_shift(word, 31))


def _shift(word: Tensor, bits: int) -> Tensor:
    """Logical right shift: torch's own is arithmetic."""
    return (word >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def _signed(word: int) -> int:
    word &= _WORD
    return word - (1 << 64) if word >> 63 else word
