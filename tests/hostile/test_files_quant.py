"""Packed files that are none, or are not what they say: one line each, and no memory taken."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from condenser.checkpoint.model_spec import ModelSpec
from condenser.checkpoint.packed import codes, file, pack, unpack, words
from condenser.errors import DamagedError

MLP = {"_target_": "condenser.models.MLP", "widths": [4]}


def good() -> bytes:
    torch.manual_seed(0)
    spec = ModelSpec(MLP, (1, 2, 2), 3)
    return pack(spec, spec.build())


GOOD = good()
SHORT, BODY = file.opened(GOOD)
NET = ModelSpec.from_json(SHORT[0])
HEAD = [SHORT[0], json.loads(json.dumps(file.filled_in(SHORT[1], file.layout(NET, NET.build()))))]


def assembled(head: Any, parts: bytes = BODY, version: int = file.VERSION) -> bytes:
    """A file around this head, under a right checksum."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return headed(deflated(text), parts, version)


def deflated(text: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15, zdict=words.WORDS)
    return made.compress(text) + made.flush()


def headed(
    head: bytes, parts: bytes = b"", version: int = file.VERSION, length: int | None = None
) -> bytes:
    """The same around the head's bytes, which it says are ``length``."""
    size = codes.numbers([len(head) if length is None else length])
    return sealed(file.START.pack(b"CNDP", version) + size + head + parts)


def sealed(body: bytes) -> bytes:
    return body + file.checksum(body)


def rows(change: Callable[[list[Any]], object]) -> bytes:
    """The good file with its list of tensors changed."""
    head = json.loads(json.dumps(HEAD))
    change(head[1])
    return assembled(head)


def first(place: int, value: Any) -> bytes:
    """The good file with something else in the first tensor's row."""
    return rows(lambda tensors: tensors[0].__setitem__(place, value))


def numbers(change: Callable[[list[Any]], object]) -> bytes:
    """The good file with the numbers changed that stand for its tensors."""
    head = json.loads(json.dumps(SHORT))
    change(head[1])
    return assembled(head)


def described(**changes: Any) -> bytes:
    """The good file with something else in its model spec."""
    return assembled([HEAD[0] | changes, HEAD[1]])


def widths(*values: Any) -> bytes:
    return described(architecture=MLP | {"widths": list(values)})


def one_symbol(entries: int) -> bytes:
    """A tensor of so many equal numbers, as few bytes say it."""
    data = codes.numbers([1, entries]) + b"\0\0\0\0"
    return assembled([HEAD[0], [["w", "f4", [entries], "labels", len(data)]]], data)


NO_ROW = "its shape and bytes are to be whole numbers from 0"
FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "these bytes are no packed model"),
    "a start alone": (GOOD[:9], "these bytes are no packed model"),
    "another kind": (b"PK\3\4" + GOOD[4:], "these bytes are no packed model"),
    "older": (
        assembled(HEAD, version=0),
        "a packed model of version 0, an older one; this reads 3",
    ),
    "later": (assembled(HEAD, version=9), "a packed model of version 9, a later one; this rea"),
    "half": (GOOD[: len(GOOD) // 2], "the packed model is damaged: its checksum is another"),
    "a bit": (GOOD[:20] + bytes([GOOD[20] ^ 1]) + GOOD[21:], "the packed model is damaged: "),
    "long head": (
        headed(b"", length=2**32 - 1),
        "its head is to be 4294967295 bytes, and the file ends before",
    ),
    "no deflate": (headed(b"\xff" * 4), "cannot be rebuilt: Error -3"),
    "no length": (
        sealed(file.START.pack(b"CNDP", file.VERSION) + b"\xff" * 5),
        "it ends within a number",
    ),
    "half a head": (
        headed(deflated(b"[" * 99)[:3]),
        "its head ends too early, or is more than 16,777,216 bytes",
    ),
    "a bomb": (assembled(b" " * 2**26), "its head ends too early, or is more than 16,777,216 by"),
    "no json": (assembled(b"{"), "cannot be rebuilt: Expecting property name"),
    "no text": (assembled(b"\xff\xfe\xfa"), "cannot be rebuilt: "),
    "deep": (assembled(b"[" * 100_000), "cannot be rebuilt: maximum recursion depth exceeded"),
    "digits": (assembled(b"[" + b"9" * 9999 + b"]"), "cannot be rebuilt: Exceeds the limit"),
    "a number": (assembled(7), "its head is no model spec with a list of tensors"),
    "no model spec": (assembled([None, []], b""), "its head has no model spec"),
    "no tensors": (assembled([HEAD[0], {}]), "its head is no model spec with a list of tensors"),
    "short row": (rows(lambda t: t[0].pop()), "a row of its head is no tensor: ['fc1.weight', 'f4"),
    "no row": (rows(lambda t: t.append(3)), "a row of its head is no tensor: 3"),
    "no name": (first(0, 5), "a row of its head is no tensor: [5, "),
    "twice": (
        rows(lambda t: t[1].__setitem__(0, t[0][0])),
        "its head has the tensor fc1.weight tw",
    ),
    "other name": (first(0, "../../etc"), "cannot be rebuilt: 1 missing: fc1.weight; 1 unknown: "),
    "kind": (first(1, "f9"), "fc1.weight: nothing is stored as f9, plain"),
    "kind of list": (first(1, ["f4"]), "fc1.weight: nothing is stored as ['f4'], plain"),
    "code": (first(3, "zip"), "fc1.weight: nothing is stored as f4, zip"),
    "negative side": (first(2, [-4, -4]), f"fc1.weight: {NO_ROW}"),
    "float side": (first(2, [4.0, 4]), f"fc1.weight: {NO_ROW}"),
    "NaN side": (first(2, [float("nan")]), f"fc1.weight: {NO_ROW}"),
    "true side": (first(2, [True, 16]), f"fc1.weight: {NO_ROW}"),
    "huge side": (first(2, [10**30]), f"fc1.weight: {NO_ROW}"),
    "no shape": (first(2, "44"), f"fc1.weight: {NO_ROW}"),
    "many entries": (
        first(2, [2**20, 2**20]),
        "fc1.weight: with it there are 1,099,511,627,776 ",
    ),
    "few entries": (first(2, [4, 3]), "cannot be rebuilt: 64 bytes for 12 numbers of 4"),
    "other shape": (
        first(2, [2, 8]),
        "cannot be rebuilt: 1 of another shape: fc1.weight is 2x8",
    ),
    "more bytes": (first(4, 10**9), "its tensors are to be 1,000,000,076 bytes, and there are "),
    "fewer bytes": (first(4, 60), "its tensors are to be 136 bytes, and there are 140"),
    "negative bytes": (first(4, -1), f"fc1.weight: {NO_ROW}"),
    "few tensors": (numbers(lambda t: t.pop()), "it has 3 tensors, and its network 4"),
    "many tensors": (numbers(lambda t: t.append(3)), "it has 5 tensors, and its network 4"),
    "a row among numbers": (numbers(lambda t: t.__setitem__(0, HEAD[1][0])), "no tensor: "),
    "true for a number": (numbers(lambda t: t.__setitem__(0, True)), "no tensor: "),
    "a number below 0": (numbers(lambda t: t.__setitem__(0, -1)), f"fc1.weight: {NO_ROW}"),
    "a huge number": (numbers(lambda t: t.__setitem__(0, 10**30)), f"fc1.weight: {NO_ROW}"),
    "other bytes": (numbers(lambda t: t.__setitem__(0, 9)), "its tensors are to be 78 bytes, and"),
    "149 GiB": (one_symbol(4 * 10**10), "w: with it there are 40,000,000,000 numbers: too many"),
    "wide by numbers": (
        assembled([SHORT[0] | {"architecture": MLP | {"widths": [10**9]}}, SHORT[1]]),
        "the network that its head describes has ",
    ),
    "wide": (widths(10**9), "the network that its head describes has "),
    "wider": (widths(10**15, 10**15), "the network that its head describes has "),
    "other network": (
        widths(5),
        "cannot be rebuilt: 3 of another shape: fc1.weight is 4x",
    ),
    "deep network": (
        described(architecture={"_target_": "condenser.models.ResNet", "depth": 6 * 10**9 + 2}),
        "the network that its head describes has ",
    ),
    "classes": (described(num_classes=10**12), "input_shape, num_classes and vocabulary are ["),
    "foreign class": (
        described(architecture={"_target_": "os.system", "name": "x"}),
        "cannot be rebuilt: model._target_=os.system",
    ),
    "unknown operation": (
        described(operations=[{"operation": "Boil"}]),
        "the model names an unknown operation 'Boil'",
    ),
    "operation of nothing": (
        described(operations=[{"operation": "Quantized", "layers": 5}]),
        "cannot be rebuilt: ",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_what_it_says_is_one_line(name: str) -> None:
    data, says = FILES[name]
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError) as caught:
            unpack(data)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert most < 2**28


def test_the_command_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from condenser.cli import pack as command

    broken = tmp_path / "model.cndp"
    broken.write_bytes(GOOD[:-1])
    assert command.main([str(broken), "--out", str(tmp_path / "out")]) == 1
    says = "the packed model is damaged: its checksum is another"
    assert capsys.readouterr().err == f"pack: {broken}: {says}\n"
    assert not (tmp_path / "out").exists()


def refused_or_the_same(data: bytes) -> None:
    try:
        unpack(data)
    except DamagedError as error:
        assert "\n" not in str(error)


FLOATS = st.floats(allow_subnormal=False)  # a run in this process may have flushed these
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(body=st.binary(max_size=300), head=JSON, part=st.binary(max_size=40), data=st.data())
def test_no_bytes_under_a_right_checksum_are_a_traceback(
    body: bytes, head: Any, part: bytes, data: Any
) -> None:
    refused_or_the_same(sealed(b"CNDP\2" + body))
    refused_or_the_same(assembled(head, part))
    changed = json.loads(json.dumps(HEAD))
    row, place = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 4))
    changed[1][row][place] = head
    refused_or_the_same(assembled(changed))
    key = data.draw(st.sampled_from(sorted(HEAD[0])))
    refused_or_the_same(assembled([HEAD[0] | {key: head}, HEAD[1]]))
    refused_or_the_same(assembled([HEAD[0] | {key: head}, SHORT[1]]))
    broken = bytearray(GOOD[: -file.CHECK])
    for _ in range(3):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    refused_or_the_same(sealed(bytes(broken)))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(kind=st.sampled_from(codes.KINDS), part=st.binary(max_size=60), side=st.integers(0, 40))
def test_no_code_is_a_traceback(kind: str, part: bytes, side: int) -> None:
    head = [HEAD[0], [["fc1.weight", "f4", [side], kind, len(part)]]]
    refused_or_the_same(assembled(head, part))
