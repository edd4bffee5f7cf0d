"""An adaptive coder of small integers: no table is stored, both sides learn it as they go.

An integer is a row of yes or no (is it 0? below 0? beyond 1? beyond 2? …), each with a probability
of its own, (1 + 2·yes) / (2 + 2·yes + 2·no) of what came before. Integers only: any machine decodes
the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

ONE = 1 << 16  # a probability of 1
FULL, LEAST = 1 << 32, 1 << 24  # of the coder's interval, after and before it is stretched
LARGEST = 15  # magnitude
MOST = 2**12  # integers: both sides take them one by one

Counts = dict[int, list[int]]  # question → [no, yes] so far
ZERO, NEGATIVE = -2, -1  # questions; 1, 2, …: beyond so much?


def encode(integers: Iterable[int]) -> bytes:
    """The integers, from -15 to 15, in about n·H(p) bits and what it takes to learn p.

    Source of the coder: Martin, "Range encoding: an algorithm for removing redundancy from a
    digitised message", 1979.
    """
    low, span, size, counts = 0, FULL, 4, Counts()

    def note(question: int, yes: bool) -> bool:
        nonlocal low, span, size
        bound = (span // ONE) * share(counts, question)
        low, span = (low, bound) if yes else (low + bound, span - bound)
        while span < LEAST:
            low, span, size = low << 8, span << 8, size + 1
        learn(counts, question, yes)
        return yes

    for value in integers:
        ask(partial(tell, note, value))
    return shortest(low, span, size)


def decode(data: bytes, count: int) -> list[int]:
    """The inverse of ``encode``."""
    place, span, counts = 4, FULL, Counts()
    ahead = int.from_bytes(data[:4].ljust(4, b"\0"), "big")

    def read(question: int) -> bool:
        nonlocal place, span, ahead
        bound = (span // ONE) * share(counts, question)
        yes = ahead < bound
        ahead, span = (ahead, bound) if yes else (ahead - bound, span - bound)
        while span < LEAST:
            byte = data[place] if place < len(data) else 0
            ahead, span, place = ahead << 8 | byte, span << 8, place + 1
        learn(counts, question, yes)
        return yes

    return [ask(read) for _ in range(count)]


def ask(told: Callable[[int], bool]) -> int:
    """The integer that these questions tell."""
    if told(ZERO):
        return 0
    negative, size = told(NEGATIVE), 1
    while size < LARGEST and told(size):
        size += 1
    return -size if negative else size


def tell(note: Callable[[int, bool], bool], value: int, question: int) -> bool:
    """The answer for this integer, noted."""
    if question == ZERO:
        return note(question, value == 0)
    return note(question, value < 0 if question == NEGATIVE else abs(value) > question)


def share(counts: Counts, question: int) -> int:
    """The probability of yes, above 0 and below 1, in 2⁻¹⁶ths."""
    no, yes = counts.get(question, (0, 0))
    return max(1, min(ONE - 1, ONE * (1 + 2 * yes) // (2 + 2 * yes + 2 * no)))


def learn(counts: Counts, question: int, yes: bool) -> None:
    counts.setdefault(question, [0, 0])[yes] += 1


def shortest(low: int, span: int, size: int) -> bytes:
    """The fewest bytes of which the rest, zeros, leads to a number from low to below low + span."""
    for dropped in range(size, -1, -1):
        unit = 1 << (8 * dropped)
        value = -(-low // unit) * unit
        if value < low + span and value < 1 << (8 * size):
            return value.to_bytes(size, "big")[: size - dropped]
    raise AssertionError("an empty interval")
