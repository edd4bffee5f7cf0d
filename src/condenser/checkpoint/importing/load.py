"""Load the weights that other code has trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from condenser.checkpoint.importing.names import (
    NEEDLESS,
    ORDER,
    Rules,
    State,
    aligned,
    by_order,
    read_rules,
    renamed,
)
from condenser.checkpoint.importing.read import read_state, weight_files
from condenser.compress.patterns import matches, refuse_unmatched
from condenser.errors import ConfigError
from condenser.models import weights

LISTED = 12  # names of each kind in a message
MOST_NEW = 2  # layers that may be a head


@dataclass(frozen=True)
class Imported:
    """What was loaded.

    Attributes:
        entry: of the file, that held the state; '' if the file is the state.
        prefix: before the file's names, taken off.
        ignored: names beside that prefix: of a loss, a metric, another network.
        new: tensors of the network that keep their first values, as asked.
    """

    entry: str
    prefix: str
    ignored: tuple[str, ...]
    new: tuple[str, ...]


def load_weights(
    model: nn.Module,
    file: Path | str,
    keys: str | Rules | None = None,
    entry: str | None = None,
    new: Sequence[str] = (),
    key: str = "teacher.load",
    settings: str = "teacher.file",
) -> Imported:
    """Load a .safetensors, .pt, .pth, .bin or .ckpt file, or a Hugging Face folder, in place.

    Tensors only: a pickled object is refused, no code runs. The state is found inside what
    training scripts save (``state_dict``, ``model``, averaged weights first), and prefixes
    (``module.``, ``model.``, ``_orig_mod.``) are taken off. Counters of batch norms may lack.

    Args:
        keys: regex → replacement of names, one after the other, null leaves a tensor out; or a
            YAML file of them; or ``order``: names do not count, order and shapes do.
        entry: which state of several, as ``ema.module``.
        new: patterns of layers that keep their first weights, as a head for other classes.
        key: the setting that names the file, for messages; ``settings`` has the three above.

    Raises:
        ConfigError: one line: names without a counterpart with the nearest, shapes that differ, a
            head of another size.
    """
    path = Path(file).expanduser()
    files = weight_files(path)
    if not files:
        allowed = "a file of weights (.safetensors, .pt, .pth) or a folder with config.json and one"
        raise ConfigError(key, file, allowed)
    state, found = read_state(files, entry, key, f"{settings}.entry")
    state = renamed(state, read_rules(keys, f"{settings}.keys"), f"{settings}.keys")
    own = model.state_dict()
    prefix, ignored = "", list[str]()
    if keys == ORDER:
        ordered = by_order(state, own)
        if ordered is None:
            allowed = "a map of names: shapes differ, or their order"
            raise ConfigError(f"{settings}.keys", ORDER, allowed)
        state = ordered
    else:
        state, prefix, ignored = aligned(state, own)
    refuse_unmatched(f"{settings}.new", new, list(own))
    kept = [name for name in own if matches(name, new)]
    state = {name: t for name, t in state.items() if name in own or not needless(name)}
    state |= {n: own[n] for n in own if n in kept or (n not in state and needless(n))}
    fill(model, state, path, key, settings)
    return Imported(found, prefix, tuple(ignored), tuple(kept))


def needless(name: str) -> bool:
    return name.endswith(NEEDLESS)


def fill(model: nn.Module, state: State, path: Path, key: str, settings: str) -> None:
    """Load it, or say in one line what does not fit and what would mend it."""
    try:
        weights.fill(model, state)
    except weights.MisfitError as error:
        own = model.state_dict()
        if head := other_head(own, state):
            layer, theirs, ours = head
            allowed = f"weights of {ours} outputs; its head {layer} has {theirs}"
            hint = f"{settings}.new=[{layer}] starts another, which tune trains"
            raise ConfigError(key, path, allowed, hint) from error
        said = weights.misfit(model, state, LISTED) or str(error)
        if by_order(state, own):
            order = f"order and shapes are the same ({settings}.keys={ORDER}), names are not"
            said = f"{order}: {weights.misfit(model, state)}"
        layers = dict.fromkeys(n.rpartition(".")[0] for n in own if n not in state)
        if state.keys() <= own.keys() and len(layers) <= MOST_NEW:
            said += f"; to start them anew: {settings}.new=[{','.join(layers)}]"
        raise ConfigError(key, path, "weights of this network", said) from error


def other_head(own: State, state: State) -> tuple[str, int, int] | None:
    """(layer, its outputs in the file, here) if the outputs of one layer are all that differs."""
    odd = [name for name in own if name in state and own[name].shape != state[name].shape]
    layers = {name.rpartition(".")[0] for name in odd}
    if own.keys() != state.keys() or len(layers) != 1 or own[odd[0]].ndim == 0:
        return None
    if any(own[name].shape[1:] != state[name].shape[1:] for name in odd):
        return None
    return layers.pop(), state[odd[0]].shape[0], own[odd[0]].shape[0]
