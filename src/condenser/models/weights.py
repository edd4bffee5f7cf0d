"""Save and load a network's state: tied tensors once, mismatches in one line.

A tensor that a network holds under several names (tied weights, a module that stands in two places)
is stored once, under the first; the architecture determines which are tied.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from condenser.errors import CondenserError, nearest

State = dict[str, Tensor]
SHOWN = 3  # names per kind in a message


class MisfitError(CondenserError):
    """A state that does not fit the network."""


def aliases(model: nn.Module) -> dict[str, str]:
    """Name → first name of the same tensor, for tensors with several."""
    state = model.state_dict(keep_vars=True)
    first: dict[int, str] = {}
    return {n: first[id(t)] for n, t in state.items() if first.setdefault(id(t), n) != n}


def kept(model: nn.Module) -> State:
    """The state to store: each tensor once, on the CPU, contiguous, in its own memory.

    Raises:
        CondenserError: non-tensor state, from a module's ``get_extra_state``.
    """
    tied, seen, state = aliases(model), set(), {}
    for name, tensor in model.state_dict().items():
        if not isinstance(tensor, Tensor):
            kind = type(tensor).__name__
            raise CondenserError(f"{name} is a {kind}; what a state_dict holds must be tensors")
        if name in tied:
            continue
        whole = tensor.detach().cpu().contiguous()
        place = whole.untyped_storage().data_ptr()
        state[name] = whole.clone() if place in seen else whole
        seen.add(place)
    return state


def versions(model: nn.Module) -> dict[str, int]:
    """Module → version of its state_dict, for non-torch modules that declare one."""
    found = {name: getattr(module, "_version", 1) for name, module in outside(model)}
    return {name: version for name, version in found.items() if version not in (None, 1)}


def outside(model: nn.Module) -> Iterable[tuple[str, nn.Module]]:
    """The modules that are not torch's."""
    named = model.named_modules(remove_duplicate=False)
    return [(n, m) for n, m in named if not type(m).__module__.startswith("torch.")]


def fill(
    model: nn.Module, state: Mapping[str, Any], known: Mapping[str, int] | None = None
) -> None:
    """Load a state from ``kept``, or a whole state_dict, into a network of the same architecture.

    Args:
        known: ``versions`` when the state was stored; None if it was made by this code.

    Raises:
        MisfitError: it does not fit; names the first few mismatches of each kind.
    """
    tied = aliases(model)
    more = {n: state[of] for n, of in tied.items() if of in state and n not in state}
    whole: Any = OrderedDict({**state, **more})
    whole._metadata = OrderedDict(model.state_dict()._metadata)  # type: ignore[attr-defined]
    if known is not None:
        for name, _ in outside(model):
            whole._metadata[name] = {"version": known.get(name, 1)}
    try:
        model.load_state_dict(whole)
    except (AttributeError, KeyError, RuntimeError, ValueError) as error:
        raise MisfitError(misfit(model, whole) or " ".join(str(error).split())[:300]) from error


def misfit(model: nn.Module, state: Mapping[str, Any], most: int = SHOWN) -> str:
    """The mismatches between ``state`` and the network in one line, at most ``most`` names of each
    kind; empty if names and shapes agree."""
    own = model.state_dict()
    missing = [name for name in own if name not in state]
    unknown = [name for name in state if name not in own]
    other = [n for n in own if n in state and shape(own[n]) != shape(state[n])]
    near = {name: nearest(name, missing).removeprefix("did you mean ") for name in unknown}
    lines = {
        "missing": missing,
        "unknown": [f"{n} (did you mean {near[n]})" if near[n] else n for n in unknown],
        "of another shape": [f"{n} is {shape(state[n])}, not {shape(own[n])}" for n in other],
    }
    said = (f"{len(names)} {word}: {few(names, most)}" for word, names in lines.items() if names)
    return "; ".join(said)


def few(names: list[str], most: int) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def shape(tensor: Any) -> str:
    """``64x3x3``; ``1`` for a scalar, the type's name for anything but a tensor."""
    if not isinstance(tensor, Tensor):
        return type(tensor).__name__
    return "x".join(map(str, tensor.shape)) or "1"


def plain_zero(tensor: Tensor) -> Tensor:
    """Replace -0.0, as masking leaves it, by 0.0."""
    return tensor + 0 if torch.is_floating_point(tensor) else tensor
