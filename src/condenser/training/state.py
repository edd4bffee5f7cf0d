"""A network's weights as they are kept, and their order in memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.capture import device_of, evaluating

State = dict[str, Tensor]


def foreign(model: nn.Module) -> bool:
    """Whether it contains third-party code, whose use of random numbers is unknown."""
    return any(not type(m).__module__.startswith(("torch.", "condenser.")) for m in model.modules())


def laid_out(model: nn.Module, images: Tensor) -> nn.Module:
    """The network in channels_last, where convolutions run up to twice as fast.

    One that cannot (``x.view`` after a convolution asks for the other order) stays as it is.
    """
    model.to(memory_format=torch.channels_last)
    if foreign(model):
        try:
            with evaluating(model):
                model(images.to(device_of(model)))
        except RuntimeError:
            model.to(memory_format=torch.contiguous_format)
    return model


def state_of(model: nn.Module) -> State:
    """A copy of all weights, gathered if sharded."""
    return {name: whole(tensor) for name, tensor in model.state_dict().items()}


def whole(tensor: Tensor) -> Tensor:
    """A copy of a tensor, gathered on every process if sharded."""
    gathered = getattr(tensor, "full_tensor", None)
    return (gathered() if gathered else tensor).detach().clone()


def apart(state: State) -> State:
    """The tensors by themselves: saving a part of a larger one would save all of that."""
    parts = {n for n, t in state.items() if t.untyped_storage().nbytes() > t.nbytes}
    return {name: t.clone() if name in parts else t for name, t in state.items()}
