"""A stored network comes back bit for bit, or says which file is damaged; it never runs code."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from condenser.checkpoint.model_spec import ModelSpec, load, save, sha256
from condenser.compress import Magnitude, Operation, PostTraining, WeightPruning, prunable, sparsity
from condenser.errors import CondenserError, DamagedError
from condenser.functional.pruning import layerwise_threshold

SHAPE = (1, 16, 16)
Chain = Callable[[nn.Module, Tensor], Sequence[Operation]]


def images(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(seed))


def prune(rate: float) -> Chain:
    def chain(model: nn.Module, _: Tensor) -> Sequence[Operation]:
        pruning = WeightPruning(rate, Magnitude(), scope=layerwise_threshold, until=0.0)
        pruning.prepare(model)
        return pruning.finish()

    return chain


def after(*chains: Chain) -> Chain:
    return lambda model, seen: [done for chain in chains for done in chain(model, seen)]


CHAINS: dict[str, Chain] = {
    "plain": lambda model, seen: [],
    "pruned": prune(0.7),
    "pruned twice": after(prune(0.3), prune(0.8)),
    "int8": PostTraining(8, 8),
    "weights in 4 bits": PostTraining(4, None),
    "but for some layers": PostTraining(8, 8, exclude=["*1*"]),
    "pruned and int8": after(prune(0.8), PostTraining(8, 8)),
    "pruned and in 3 bits": after(prune(0.5), prune(0.9), PostTraining(3, None)),
}


def stored(folder: Path, made: tuple[ModelSpec, nn.Module], chain: Chain) -> nn.Module:
    """Compress the network and save it in ``folder``."""
    spec, model = made
    done = chain(model, images(32))
    save(folder, spec.then(done[:1]).then(done[1:]), model)
    return model


@pytest.fixture
def folder(tmp_path: Path, network: Any) -> Path:
    """A pruned int8 network on disk."""
    stored(tmp_path, network("lenet5_tenth", SHAPE), CHAINS["pruned and int8"])
    return tmp_path


@pytest.mark.parametrize(
    ("name", "chain"),
    [
        *((name, chain) for name in ("mlp_32", "lenet5_tenth", "resnet8") for chain in CHAINS),
        ("wrn_16_1", "pruned and int8"),
    ],
)
def test_a_stored_network_answers_with_the_same_bits(
    tmp_path: Path, network: Any, name: str, chain: str
) -> None:
    model = stored(tmp_path, network(name, SHAPE), CHAINS[chain])
    spec, back = load(tmp_path)
    image = images(8, seed=1)
    assert torch.equal(back(image), model.eval()(image))
    before, now = model.state_dict(), back.state_dict()
    assert before.keys() == now.keys()
    assert all(torch.equal(before[key], now[key]) for key in before)
    assert not back.training
    # What is loaded can be stored again: the same file.
    again = tmp_path / "again"
    again.mkdir()
    save(again, spec, back)
    assert (again / "weights.safetensors").read_bytes() == (
        tmp_path / "weights.safetensors"
    ).read_bytes()


def test_a_network_laid_out_otherwise_is_stored_alike(tmp_path: Path, network: Any) -> None:
    """Training keeps weights channels-last."""
    spec, model = network("resnet8", SHAPE)
    image = images(8)
    expected = model(image)
    save(tmp_path, spec, model.to(memory_format=torch.channels_last))
    assert torch.equal(load(tmp_path)[1](image), expected)


def test_the_loaded_blueprint_is_the_one_that_was_saved(tmp_path: Path, network: Any) -> None:
    spec, model = network("mlp_32", SHAPE)
    whole = spec.then(CHAINS["pruned and int8"](model, images(8)))
    save(tmp_path, whole, model)
    assert load(tmp_path)[0] == whole
    assert ModelSpec.from_json(json.loads(json.dumps(whole.to_json()))) == whole


def test_structure_made_before_is_held_after_loading(tmp_path: Path, network: Any) -> None:
    stored(tmp_path, network("lenet5_tenth", SHAPE), CHAINS["pruned twice"])
    spec, model = load(tmp_path)
    zeros = sparsity(prunable(model))
    assert zeros == pytest.approx(0.8, abs=1e-3)
    held = spec.constraints(model)
    for parameter in model.parameters():
        parameter.data.add_(1)
    for project in held:
        project()
    assert sparsity(prunable(model)) == pytest.approx(zeros)
    assert network("mlp_32")[0].constraints(network("mlp_32")[1]) == []


# --- what the files hold


def header(path: Path) -> dict[str, Any]:
    """The table of a safetensors file, read by its published format and nothing else."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    table = json.loads(content[8 : 8 + length])
    table.pop("__metadata__", None)
    spans = sorted(entry["data_offsets"] for entry in table.values())
    assert spans[0][0] == 0
    assert all(a[1] == b[0] for a, b in pairwise(spans))
    assert 8 + length + spans[-1][1] == len(content), "bytes that are no tensor"
    return table


def test_a_folder_holds_json_and_tensors_and_nothing_else(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"model.json", "weights.safetensors"}
    kinds = {entry["dtype"] for entry in header(folder / "weights.safetensors").values()}
    assert kinds <= {"F32", "I8", "U8", "I32", "I64"}
    data = json.loads((folder / "model.json").read_text())
    assert data["format"] == 1
    assert data["weights_sha256"] == sha256(folder / "weights.safetensors")


@pytest.mark.parametrize(
    ("chain", "bytes_a_weight"),
    [("plain", 4.0), ("int8", 1.0), ("pruned", 4 * 0.3 + 1 / 8), ("pruned and int8", 0.2 + 1 / 8)],
)
def test_weights_take_the_bytes_that_compression_claims(
    tmp_path: Path, network: Any, chain: str, bytes_a_weight: float
) -> None:
    model = stored(tmp_path, network("lenet5_tenth", SHAPE), CHAINS[chain])
    count = sum(w.numel() for w in prunable(model).values())
    taken = sum(
        entry["data_offsets"][1] - entry["data_offsets"][0]
        for name, entry in header(tmp_path / "weights.safetensors").items()
        if ".weight" in name and "scale" not in name
    )
    # Rounding to codes may make more zeros; an entry's shape takes 16 bytes.
    assert count * bytes_a_weight * 0.8 <= taken <= count * bytes_a_weight + 16 * 5


# --- damage


def rewrite(folder: Path, **changes: Any) -> None:
    data = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**data, **changes}))


def without(folder: Path, key: str) -> None:
    data = json.loads((folder / "model.json").read_text())
    del data[key]
    (folder / "model.json").write_text(json.dumps(data))


def flip(folder: Path, position: int) -> None:
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[position] ^= 1
    (folder / "weights.safetensors").write_bytes(bytes(content))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def reseal(folder: Path) -> None:
    """Garbage whose checksum is right."""
    (folder / "weights.safetensors").write_bytes(b"garbage")
    rewrite(folder, weights_sha256=sha256(folder / "weights.safetensors"))


OTHER: list[dict[str, Any]] = [{"operation": "Sparse", "layers": ["nowhere"]}]
DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a flipped bit in the first weights": ("weights.safetensors", lambda f: flip(f, -2000)),
    "a flipped bit in the last weight": ("weights.safetensors", lambda f: flip(f, -1)),
    "a flipped bit in the table": ("weights.safetensors", lambda f: flip(f, 20)),
    "weights cut": ("weights.safetensors", lambda f: cut(f / "weights.safetensors")),
    "weights missing": ("weights.safetensors", lambda f: (f / "weights.safetensors").unlink()),
    "no safetensors": ("weights.safetensors", reseal),
    "model.json missing": ("model.json", lambda f: (f / "model.json").unlink()),
    "model.json cut": ("model.json", lambda f: halve(f / "model.json")),
    "model.json empty": ("model.json", lambda f: (f / "model.json").write_text("")),
    "a list": ("model.json", lambda f: (f / "model.json").write_text("[]")),
    "no text": ("model.json", lambda f: (f / "model.json").write_bytes(b"\xff\xfe\x00")),
    "a later format": ("model.json", lambda f: rewrite(f, format=2)),
    "no checksum": ("model.json", lambda f: without(f, "weights_sha256")),
    "no architecture": ("model.json", lambda f: without(f, "architecture")),
    "no operations": ("model.json", lambda f: without(f, "operations")),
    "an unknown operation": (
        "model.json",
        lambda f: rewrite(f, operations=[{"operation": "Melt", "layers": []}]),
    ),
    "an operation's unknown field": (
        "model.json",
        lambda f: rewrite(f, operations=[{"operation": "Sparse", "layer": []}]),
    ),
    "an operation on a layer that is not there": (
        "model.json",
        lambda f: rewrite(f, operations=OTHER),
    ),
    "other operations": ("model.json", lambda f: rewrite(f, operations=[])),
    "another number of classes": ("model.json", lambda f: rewrite(f, num_classes=7)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_names_the_file(folder: Path, damage: str) -> None:
    load(folder)
    name, harm = DAMAGE[damage]
    harm(folder)
    with pytest.raises(DamagedError) as raised:
        load(folder)
    assert str(folder / name) in str(raised.value)


def test_a_later_format_says_so(folder: Path) -> None:
    rewrite(folder, format=2)
    with pytest.raises(DamagedError, match="format 2, this reads 1"):
        load(folder)


# --- what a stored file may call


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "posix.system",
        "builtins.eval",
        "subprocess.Popen",
        "condenser.models.os.system",
        "condenser.models.importlib.import_module",
        "condenser.models.build",
        "condenser.checkpoint.model_spec.save",
        "condenser.models.torchvision_zoo.inspect.getsource",
        "",
    ],
)
def test_a_stored_network_can_only_be_one_of_the_zoo(folder: Path, target: str) -> None:
    marker = folder / "was_run"
    command = f"touch {marker}"
    keys = ("command", "args", "source", "name", "_args_")
    rewrite(folder, architecture={"_target_": target, **dict.fromkeys(keys, command)})
    with pytest.raises(CondenserError):
        load(folder)
    assert not marker.exists()


def test_an_architecture_of_the_users_own_needs_trust(folder: Path) -> None:
    own = f"{__name__}.mine"
    rewrite(folder, architecture={"_target_": own}, operations=[])
    with pytest.raises(CondenserError, match="_target_"):
        load(folder)
    model = mine((1, 2, 2), 3)
    save(folder, ModelSpec({"_target_": own}, (1, 2, 2), 3), model)
    image = torch.randn(2, 1, 2, 2)
    assert torch.equal(load(folder, trusted=[own])[1](image), model(image))


def mine(input_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    channels, height, width = input_shape
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, num_classes))
