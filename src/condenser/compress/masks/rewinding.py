"""Rewind to the initial weights (lottery ticket)."""

from __future__ import annotations

from torch import nn

from condenser.compress.base import State
from condenser.errors import ConfigError
from condenser.models import weights


def restart(model: nn.Module, origin: State) -> None:
    """The network's first weights again.

    Raises:
        ConfigError: a tensor that the network of the start did not have, or not in this shape.
    """
    state = model.state_dict()
    odd = [n for n, t in state.items() if n not in origin or origin[n].shape != t.shape]
    if odd:
        allowed = f"false for a network whose structure was changed ({odd[0]})"
        raise ConfigError("prune.rewind", "true", allowed)
    weights.fill(model, {name: origin[name] for name in state})
