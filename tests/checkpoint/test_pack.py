"""The packed file: every bit comes back, no byte is forgotten, damage is noticed."""

from __future__ import annotations

import bisect
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from places import CONF, SEQUENCES
from running import run_in
from torch import Tensor, nn

from condenser.checkpoint.model_spec import ModelSpec, load
from condenser.checkpoint.packed import adaptive, codes, file, pack, table, unpack, words
from condenser.compress import Factorization, KMeansSharing, PostTraining, WeightPruning, prunable
from condenser.compress.scores import Magnitude
from condenser.errors import ConfigError, DamagedError
from condenser.functional.pruning import layerwise_threshold

RNG = np.random.default_rng(0)
STEPS = {
    "prune": lambda model: done(
        WeightPruning(0.8, Magnitude(), scope=layerwise_threshold, until=0), model
    ),
    "share": lambda model: done(KMeansSharing(4), model),
    "quantize": lambda model: PostTraining(4, None)(model, torch.zeros(2, *SHAPE)),
}
SHAPE = (1, 8, 8)
WORDS = 8  # in which the coder's state ends


def done(compression: Any, model: nn.Module) -> Any:
    compression.prepare(model)
    compression.step(1.0)
    model.load_state_dict({name: t + 0 for name, t in model.state_dict().items()})  # as stages do
    return compression.finish()


def same_bits(one: nn.Module, other: nn.Module) -> None:
    mine, theirs = one.state_dict(), other.state_dict()
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert tensor.dtype == theirs[name].dtype and tensor.shape == theirs[name].shape
        assert raw(tensor) == raw(theirs[name]), name


def raw(tensor: Tensor) -> bytes:
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


def comes_back(spec: ModelSpec, model: nn.Module) -> None:
    """Bit for bit, in as many bytes as the table says, each tensor within 3 % of its bound."""
    data = pack(spec, model)
    again, back = unpack(data)
    same_bits(model, back)
    assert json.dumps(again.to_json()) == json.dumps(spec.to_json())
    assert pack(again, back) == data
    rows = table(spec, model)
    assert sum(row.bytes for row in rows) == len(data)
    assert all(row.bytes <= 1.03 * row.bound + row.overhead + WORDS for row in rows)


ARRAYS: dict[str, Callable[[], np.ndarray[Any, Any]]] = {
    "nothing": lambda: np.empty(0, np.uint32),
    "one": lambda: np.array([7], np.uint32),
    "all alike": lambda: np.full(1000, 5, np.uint16),
    "noise": lambda: RNG.integers(0, 2**32, 5000, dtype=np.uint32),
    "few values": lambda: RNG.choice(np.array([0, 3, 2**40], np.uint64), 9999, p=[0.9, 0.09, 0.01]),
    "sparse noise": lambda: (
        RNG.integers(0, 2**32, 9000, dtype=np.uint32) * (RNG.random(9000) > 0.9)
    ),
    "every byte": lambda: np.arange(256, dtype=np.uint8),
    "one of a million": lambda: (np.arange(10**6) == 123456).astype(np.uint8),
}


@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS)
def test_arrays_come_back_at_their_entropy(make: Callable[[], np.ndarray[Any, Any]]) -> None:
    bits = make()
    kind, data, bound, overhead = codes.encode(bits)
    back = codes.decode(kind, data, bits.dtype, bits.size)
    np.testing.assert_array_equal(back, bits)
    assert back.dtype == bits.dtype
    assert len(data) <= bits.nbytes
    assert bound - 1 <= len(data) <= 1.03 * bound + overhead + WORDS
    assert overhead <= 5 * 260


@pytest.mark.parametrize("kind", ["labels", "sparse"])
def test_each_kind_reads_what_it_wrote(kind: str) -> None:
    bits = RNG.choice(np.array([0, 1, 9], np.uint32), 4000, p=[0.7, 0.2, 0.1])
    (coded,) = {"labels": codes.labels, "sparse": codes.sparse}[kind](bits)
    np.testing.assert_array_equal(codes.decode(kind, coded.data, bits.dtype, 4000), bits)
    p = np.array([0.7, 0.2, 0.1]) if kind == "labels" else np.array([0.7, 0.3])
    values = 12 if kind == "labels" else 4 * np.count_nonzero(bits)
    by_hand = -4000 * (p * np.log2(p)).sum() / 8 + values
    assert coded.bound == pytest.approx(by_hand, rel=0.03)


MULTIPLES: dict[str, tuple[list[float], np.dtype[Any]]] = {
    "codes": ([0, 1, -3, 2, 0, 0, -15, 15], np.dtype(np.int8)),
    "quarters": ([0, 0.25, -0.75, 3.75], np.dtype(np.float32)),
    "tiny": ([3 * 2.0**-120, -(2.0**-121)], np.dtype(np.float32)),
    "huge": ([2.0**127, 0], np.dtype(np.float32)),
    "zeros": ([0] * 50, np.dtype(np.float32)),
    "one": ([0.5], np.dtype(np.float32)),
}


@pytest.mark.parametrize("name", MULTIPLES)
def test_multiples_of_a_power_of_two_come_back(name: str) -> None:
    values, dtype = MULTIPLES[name]
    bits = np.array(values, dtype).view(f"<u{dtype.itemsize}")
    (coded,) = codes.steps(bits)
    np.testing.assert_array_equal(codes.decode("steps", coded.data, bits.dtype, len(bits)), bits)


def test_what_is_no_such_multiple_is_stored_otherwise() -> None:
    for values in ([1.0, 0.1], [-0.0, 1.0], [16.0, 1.0], [np.inf, 1.0], [np.nan]):
        assert not codes.steps(np.array(values, np.float32).view(np.uint32)), values
    assert not codes.steps(np.zeros(5000, np.uint8)) and not codes.steps(np.zeros(5, np.uint64))
    with pytest.raises(ValueError, match="as multiples"):
        codes.decode("steps", b"", np.dtype(np.uint8), 3)
    with pytest.raises(ValueError, match="as multiples"):
        codes.decode("steps", b"\x80", np.dtype(np.uint8), 2**13)


def test_small_integers_take_their_entropy_and_little_to_learn_it() -> None:
    """No table: 1,800 integers of 2.8 bits in 2 % more, a few of them in a few bytes."""
    drawn = np.clip(np.round(RNG.laplace(0, 1.2, 1800)), -15, 15).astype(np.int8)
    counts = np.unique(drawn, return_counts=True)[1]
    assert len(adaptive.encode(drawn.tolist())) <= 1.02 * codes.entropy(counts) + 2
    assert len(adaptive.encode([0] * 1000)) <= 2 and adaptive.encode([]) == b""
    for count in (1, 2, 3, 50):
        some = drawn[:count].tolist()
        assert adaptive.decode(adaptive.encode(some), count) == some


def test_numbers_of_any_size() -> None:
    values = [0, 1, 127, 128, 16383, 16384, 2**40]
    data = codes.numbers(values)
    assert len(data) == 1 + 1 + 1 + 2 + 2 + 3 + 6
    assert codes.read_numbers(data + b"rest", len(values)) == (values, b"rest")
    with pytest.raises(ValueError, match="ends within a number"):
        codes.read_numbers(b"\x80", 1)


@pytest.mark.parametrize("name", ["lenet5", "resnet8", "mobilenet_v2", "mlp_32"])
@pytest.mark.parametrize(
    "steps", [(), ("prune",), ("share",), ("quantize",), ("prune", "share", "quantize")]
)
def test_networks_come_back_bit_for_bit(
    network: Callable[..., Any], name: str, steps: tuple[str, ...]
) -> None:
    spec, model = network(name)
    for step in steps:
        spec = spec.then(STEPS[step](model))
    comes_back(spec, model)


def rounding(bits: int, **settings: Any) -> Any:
    return lambda model, before: PostTraining(bits, None, **settings)(
        model, torch.zeros(2, *SIDE), before
    )


SIDE = (1, 16, 16)
NO_NAME = ("own", "timm", "torchvision", "transformers")
STEMS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
ZOO = [name for name in STEMS if name not in NO_NAME and not name.startswith(SEQUENCES)]
LARGE = {"hinton_1200", "resnet110", "resnet32x4", "resnet8x4", "shufflenet_v2", "wrn_40_2"}
LARGE |= {"resnet18", "vgg8", "vgg13"}
TWICE = {"resnet32", "resnet44", "resnet56", "hinton_800", "lenet_300_100", "mlp_128", "wrn_16_2"}
TWICE |= {"wrn_40_1", "mobilenet_v2_224"}  # others of their kind are smaller
MOST = 2**15  # weights of a layer that is factorised and shared: more take seconds


def many(model: nn.Module) -> list[str]:
    return [name for name, weight in prunable(model).items() if weight.numel() > MOST]


MAKE: dict[str, Callable[..., Any]] = {
    "factorize": lambda ratio: (
        lambda model, _: done(Factorization(rank_ratio=ratio, exclude=many(model)), model)
    ),
    "prune": lambda rate: (
        lambda model, _: done(
            WeightPruning(rate, Magnitude(), scope=layerwise_threshold, until=0), model
        )
    ),
    "share": lambda bits: lambda model, _: done(KMeansSharing(bits, exclude=many(model)), model),
    "quantize": rounding,
}
DRAWN = {
    "factorize": st.floats(0.1, 0.6).map(MAKE["factorize"]),
    "prune": st.floats(0.05, 0.97).map(MAKE["prune"]),
    "share": st.integers(1, 6).map(MAKE["share"]),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.fuzz] if n in LARGE | TWICE else []) for n in ZOO]
)
def test_every_network_comes_back_from_all_at_once(network: Callable[..., Any], name: str) -> None:
    spec, model = network(name, SIDE)
    for step in (MAKE["factorize"](0.3), MAKE["prune"](0.7), MAKE["share"](3), rounding(3)):
        spec = spec.then(step(model, spec.operations))
    comes_back(spec, model)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(
    name=st.sampled_from([name for name in ZOO if name not in LARGE | TWICE]),
    order=st.lists(st.sampled_from(sorted(DRAWN)), max_size=3),
    data=st.data(),
)
def test_any_steps_in_any_order_come_back(
    network: Callable[..., Any], name: str, order: list[str], data: Any
) -> None:
    spec, model = network(name, SIDE)
    for word in order:
        try:
            made = data.draw(DRAWN[word])(model, spec.operations)
        except ConfigError:
            continue  # a layer would be empty, a codebook larger than the layer: refused
        spec = spec.then(made)
    bits = data.draw(st.integers(0, 8))
    affine, per_channel = data.draw(st.booleans()) and bits > 1, data.draw(st.booleans())
    if bits:
        step = rounding(bits, affine=affine, per_channel=per_channel)
        spec = spec.then(step(model, spec.operations))
    comes_back(spec, model)


def test_special_numbers_keep_their_bits() -> None:
    spec = ModelSpec({"_target_": "condenser.models.MLP", "widths": [4]}, SHAPE, 3)
    model = spec.build()
    with torch.no_grad():
        odd = torch.tensor([0.0, -0.0, float("inf"), float("nan"), 1e-42])
        model.get_parameter("fc1.weight").view(-1)[:5] = odd
    _, back = unpack(pack(spec, model))
    same_bits(model, back)


def test_zeros_and_codebooks_make_it_small(network: Callable[..., Any]) -> None:
    spec, model = network("lenet5")
    dense = len(pack(spec, model))
    weights = sum(p.numel() for p in model.parameters())
    assert dense <= 4 * weights + 2000
    sparse = spec.then(STEPS["prune"](model))
    assert len(pack(sparse, model)) < 0.35 * dense  # a fifth of the values, and where they are
    shared = sparse.then(STEPS["share"](model))
    assert len(pack(shared, model)) < 0.08 * dense  # 0.72 bits for where, 0.2 · 4 for which


def test_damage_is_noticed(network: Callable[..., Any]) -> None:
    spec, model = network("mlp_32")
    data = pack(spec, model)
    for place in range(0, len(data), 97):
        broken = bytearray(data)
        broken[place] ^= 0x10
        with pytest.raises(DamagedError):
            unpack(bytes(broken))
    for length in (0, 3, 20, len(data) // 2, len(data) - 1):
        with pytest.raises(DamagedError):
            unpack(data[:length])
    later = data[:4] + b"\x04" + data[5:]
    with pytest.raises(DamagedError, match="of version 4, a later one; this reads 3"):
        unpack(later)


@pytest.mark.parametrize("name", [name for name in ZOO if name not in LARGE | TWICE])
def test_a_head_is_a_hundred_bytes(network: Callable[..., Any], name: str) -> None:
    """Three operations included; of each tensor about two bytes: the network knows the rest."""
    spec, model = network(name, SIDE)
    for step in (MAKE["prune"](0.7), MAKE["share"](3), rounding(3)):
        spec = spec.then(step(model, spec.operations))
    *tensors, head = table(spec, model)
    layers = sum(row.name.endswith("weight") for row in tensors)
    assert head.bytes <= 100 + 8 * layers + 2 * len(tensors)


def test_what_a_network_of_ones_own_does_not_say_the_head_says() -> None:
    spec = ModelSpec({"_target_": "nets.SmallTransformer"}, SHAPE, 3)
    model = spec.build(["nets.SmallTransformer"])
    again, back = unpack(pack(spec, model), ["nets.SmallTransformer"])
    assert again == spec
    same_bits(model, back)


def test_the_dictionary_is_part_of_the_format() -> None:
    """Another one reads no file of today: it takes another version of the format."""
    assert file.VERSION == 3
    assert hashlib.sha256(words.WORDS).hexdigest()[:16] == "d1a0d4a09e145c6c"


def decoded_in_integers(data: bytes, counts: list[int], count: int) -> list[int]:
    """rANS by hand, 64 bits of state in words of 32, with integers alone."""
    free, left = 2**24 - len(counts), [0]
    for share in codes.whole_shares(counts):
        left.append(left[-1] + share)
    starts = [cumulated * free // 2**24 + k for k, cumulated in enumerate(left)]
    starts[-1] = 2**24
    stack = list(np.frombuffer(data, "<u4").tolist())
    state = stack.pop()
    state = state << 32 | stack.pop() if stack else state
    found = []
    for _ in range(count):
        place = state % 2**24
        symbol = bisect.bisect_right(starts, place) - 1
        state = (state >> 24) * (starts[symbol + 1] - starts[symbol]) + place - starts[symbol]
        if state < 2**32 and stack:
            state = state << 32 | stack.pop()
        found.append(symbol)
    return found


@pytest.mark.parametrize(
    "counts", [[1, 1], [3, 997], [1, 2**20], [333, 333, 334], [7, 1, 1, 4000, 90], [1] * 300]
)
def test_codes_are_read_by_integers_alone(counts: list[int]) -> None:
    """So that every machine reads the same: no table comes out of a float that was rounded."""
    shares = codes.whole_shares(counts)
    assert sum(shares) == 2**24 and min(shares) >= 1
    places = np.repeat(np.arange(len(counts)), np.minimum(counts, 5000))
    places = np.random.default_rng(1).permutation(places)
    table = np.bincount(places, minlength=len(counts))
    data = codes.symbols(places, table)
    assert decoded_in_integers(data, table.tolist(), len(places)) == places.tolist()


def test_the_command_packs_a_run_and_unpacks_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from condenser.cli import pack as command

    teacher, pruned = run_in(tmp_path, "recipe=[teacher,prune]")
    run, file = tmp_path / "default/test", tmp_path / "default/test/model.cndp"
    assert command.main([str(run)]) == 0
    assert file.stat().st_size == pruned["size/packed_bytes"]
    assert "fc1.weight" in capsys.readouterr().out
    layers = {key: value for key, value in pruned.items() if key.startswith("packed/")}
    assert sum(layers.values()) == pruned["size/packed_bytes"]  # type: ignore[arg-type]
    assert layers["packed/fc1"] > layers["packed/fc2"] > 0  # type: ignore[operator]
    assert pruned["entries/fc1"] == 64 * 128 + 128
    assert command.main([str(file), "--out", str(tmp_path / "back")]) == 0
    same_bits(load(tmp_path / "back")[1], load(tmp_path / ".store" / f"prune-{pruned['key']}")[1])
    assert command.main([str(run), "--position", "0", "--out", str(file)]) == 0
    assert file.stat().st_size == teacher["size/packed_bytes"]
    capsys.readouterr()
    assert command.main([str(run), "--position", "5"]) == 1
    assert capsys.readouterr().err == "pack: --position=5: must be one of 0, 1\n"
