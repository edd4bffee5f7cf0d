"""Match the names of a foreign state_dict to a network's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml
from torch import Tensor

from condenser.errors import ConfigError, DamagedError
from condenser.files import read_bytes

State = dict[str, Tensor]
Rules = Mapping[str, str | None]
# Wrappers that leave their name in the middle of others: torch.compile, FSDP, checkpointing.
WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
# What some version or tool adds and no network needs.
NEEDLESS = ("num_batches_tracked", "n_averaged", "position_ids", "total_ops", "total_params")
ORDER = "order"


def read_rules(keys: str | Rules | None, key: str) -> Rules:
    """Regex → replacement, from the config or from the YAML or JSON file that it names.

    Raises:
        ConfigError: there is no such file, or it holds something else, or a broken regex.
    """
    if keys is None or keys == ORDER:
        return {}
    found: object = keys
    if isinstance(keys, str):
        try:
            found = yaml.safe_load(read_bytes(Path(keys)).decode())
        except (OSError, DamagedError, UnicodeDecodeError, yaml.YAMLError) as error:
            said = error.strerror if isinstance(error, OSError) else None
            why = " ".join((said or str(error)).split())[:120]
            raise ConfigError(
                key, keys, f"a file of regex: replacement, or {ORDER}", why
            ) from error
    words = isinstance(found, Mapping) and all(
        isinstance(k, str) and (v is None or isinstance(v, str)) for k, v in found.items()
    )
    if not words:
        raise ConfigError(key, keys, "regex: replacement by line (null leaves a tensor out)")
    assert isinstance(found, Mapping)
    for pattern in found:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(key, pattern, "a regular expression", str(error)) from error
    return found


def renamed(state: State, rules: Rules, key: str) -> State:
    """The state under the names that all rules, one after the other, make of its own.

    Raises:
        ConfigError: a rule that matches no name, or two tensors that get one name.
    """
    names = {name: unwrapped(name) for name in state}
    for pattern, replacement in rules.items():
        hit = [old for old, name in names.items() if re.search(pattern, name)]
        if not hit:
            allowed = f"a pattern that some tensor of the file has, such as {next(iter(state))}"
            raise ConfigError(key, pattern, allowed)
        if replacement is None:
            names = {old: name for old, name in names.items() if old not in hit}
        else:
            try:
                names |= {old: re.sub(pattern, replacement, names[old]) for old in hit}
            except re.error as error:
                raise ConfigError(key, replacement, "a replacement", str(error)) from error
    twice = [name for name, count in Counter(names.values()).items() if count > 1]
    if twice:
        raise ConfigError(
            key, dict(rules), "one name for each tensor", f"{twice[0]} is there twice"
        )
    return {name: state[old] for old, name in names.items()}


def unwrapped(name: str) -> str:
    for wrapper in WRAPPERS:
        name = name.replace(wrapper, "")
    return name


def aligned(state: State, own: Iterable[str]) -> tuple[State, str, list[str]]:
    """The state with the prefix of the file's names exchanged for the network's.

    DataParallel, Lightning and most scripts put ``module.``, ``model.`` or a name of their own
    before all names; a network that wraps another has such a prefix itself. Of all pairs of
    prefixes that one which lets most names agree is taken, the shortest of equals.

    Returns:
        the state; the file's prefix; the names that lie outside it.
    """
    own = set(own)
    pairs = {("", "")}
    pairs |= {(prefix, "") for prefix in prefixes(state)}
    pairs |= {("", prefix) for prefix in prefixes(own)}

    def agreeing(pair: tuple[str, str]) -> tuple[int, int]:
        taken, put = pair
        hits = sum(
            f"{put}{name.removeprefix(taken)}" in own for name in state if name.startswith(taken)
        )
        return hits, -len(taken) - len(put)

    taken, put = max(sorted(pairs), key=agreeing)
    inside = {
        f"{put}{n.removeprefix(taken)}": tensor
        for n, tensor in state.items()
        if n.startswith(taken)
    }
    return inside, taken, [name for name in state if not name.startswith(taken)]


def prefixes(names: Iterable[str]) -> set[str]:
    """Every ``a.``, ``a.b.`` that names begin with."""
    found = set()
    for name in names:
        words = name.split(".")[:-1]
        found |= {".".join(words[: n + 1]) + "." for n in range(min(len(words), 4))}
    return found


def by_order(state: State, own: Mapping[str, Tensor]) -> State | None:
    """The tensors under the network's names, one after the other; None unless all shapes agree."""
    names = [name for name in own if not name.endswith(NEEDLESS)]
    theirs = [tensor for name, tensor in state.items() if not name.endswith(NEEDLESS)]
    shapes = [tuple(own[name].shape) for name in names]
    if shapes != [tuple(tensor.shape) for tensor in theirs]:
        return None
    return dict(zip(names, theirs, strict=True))
