"""Find removable blocks by running the network."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from condenser.capture import evaluating, watching
from condenser.compress.channels.operations import remainder
from condenser.compress.patterns import matches

WEIGHTED = (nn.Linear, nn.modules.conv._ConvNd)
KeptChildren = dict[str, list[str]]  # block → the children that stay, [] for the identity


def removable(
    model: nn.Module, images: Tensor, exclude: Sequence[str] = ()
) -> tuple[KeptChildren, dict[str, str]]:
    """Removable blocks, each with what remains of it, and the reason for every other layer.

    A residual block is a module that gives back its input, or its shortcut, once all other weights
    in it are zero. A network without any gives whole layers whose output has its input's shape.
    """
    calls = record(model, images)
    found, skipped = residual(model, calls)
    if not found:
        found, skipped = same_shape(model, calls)
    hit = [name for name in found if matches(name, exclude)]
    skipped |= dict.fromkeys(hit, "exclude names it")
    return {name: left for name, left in found.items() if name not in hit}, skipped


def record(model: nn.Module, images: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Input and output of every module that maps one tensor to one tensor and runs once."""
    calls: dict[str, list[tuple[Any, Any]]] = {}

    def note(name: str, _: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        calls.setdefault(name, []).append((inputs[0] if len(inputs) == 1 else None, output))

    with evaluating(model), watching(model, [n for n, _ in model.named_modules() if n], note):
        model(images)
    return {
        name: seen[0]
        for name, seen in calls.items()
        if len(seen) == 1 and all(isinstance(value, Tensor) for value in seen[0])
    }


def residual(
    model: nn.Module, calls: dict[str, tuple[Tensor, Tensor]]
) -> tuple[KeptChildren, dict[str, str]]:
    """The innermost residual blocks."""
    found: KeptChildren = {}
    for name, block in reversed(list(model.named_modules())):  # inner before outer
        if name not in calls or not any(True for _ in block.children()) or not count(block):
            continue
        if any(inner.startswith(f"{name}.") for inner in found):
            continue
        left = what_remains(block, *calls[name])
        if left is not None:
            found[name] = left
    found = dict(reversed(found.items()))
    reason = "neither its input nor a shortcut comes through when its weights are zero"
    return found, dict.fromkeys(siblings(model, found), reason)


def what_remains(block: nn.Module, given: Tensor, made: Tensor) -> list[str] | None:
    """The children that compute what the block computes once all other weights are zero."""
    given = given / given.std().clamp_min(torch.finfo(given.dtype).tiny)  # tiny: all is linear
    for left in ways(block):
        got = run(remainder(block, left), given)
        if got is None or got.shape != made.shape or not got.any():
            continue
        expected = run(silent(block, left), given)
        if expected is not None and torch.equal(got, expected):
            return left
    return None


def ways(block: nn.Module) -> Iterator[list[str]]:
    """Names of up to three children that could remain, the fewest first.

    In their order, and with an activation last, since a block may use its only one twice.
    """
    children = dict(block.named_children())
    for length in range(4):
        for names in reversed(list(combinations(children, length))):  # a block's last ReLU first
            if not any(count(child) for name, child in children.items() if name not in names):
                continue
            yield list(names)
            bare = [n for n in names[:-1] if not list(children[n].parameters())]
            yield from ([*(n for n in names if n != last), last] for last in bare)


def silent(block: nn.Module, left: Sequence[str]) -> nn.Module:
    """A copy in which all parameters are zero, but for those of the children ``left``."""
    copied = copy.deepcopy(block)
    with torch.no_grad():
        for name, parameter in copied.named_parameters():
            if name.split(".")[0] not in left:
                parameter.zero_()
    return copied


def run(module: nn.Module, given: Tensor) -> Tensor | None:
    """The output; None where the children do not fit one another."""
    try:
        with evaluating(module):
            made = module(given)
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        return None
    return made if isinstance(made, Tensor) else None


def same_shape(
    model: nn.Module, calls: dict[str, tuple[Tensor, Tensor]]
) -> tuple[KeptChildren, dict[str, str]]:
    """The outermost modules of one weighted layer each whose output has the shape of the input."""
    last = [name for name, layer in model.named_modules() if isinstance(layer, WEIGHTED)][-1]
    found: KeptChildren = {}
    skipped = {}
    for name, module in model.named_modules():
        if name not in calls or count(module) != 1 or any(name.startswith(f"{o}.") for o in found):
            continue
        given, made = calls[name]
        if f"{last}.".startswith(f"{name}."):
            skipped[name] = "it makes the network's outputs"
        elif given.shape == made.shape:
            found[name] = []
        else:
            shapes = f"{tuple(given.shape[1:])} to {tuple(made.shape[1:])}"
            skipped[name] = f"it changes the shape, {shapes}"
    outer = [n for n in skipped if any(inner.startswith(f"{n}.") for inner in found)]
    return found, {name: reason for name, reason in skipped.items() if name not in outer}


def siblings(model: nn.Module, found: KeptChildren) -> list[str]:
    """Modules of the same classes as the blocks found, and not found themselves."""
    kinds = {type(model.get_submodule(name)) for name in found} - {nn.Sequential}
    return [n for n, m in model.named_modules() if type(m) in kinds and n not in found]


def count(module: nn.Module) -> int:
    """How many weighted layers a module holds."""
    return sum(isinstance(layer, WEIGHTED) for layer in module.modules())
