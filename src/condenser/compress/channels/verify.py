"""Does a cut network compute what the network with those channels at zero computes?"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from condenser.capture import evaluating
from condenser.compress.channels.operations import KeptChannels
from condenser.compress.groups import Group, removed, zero

TOLERANCE = 1e-6  # of the greatest logit, in double precision; a wrong cut is off by far more


def agrees(model: nn.Module, image: Tensor, groups: list[Group]) -> bool:
    """Whether cutting and zeroing a random half of each group's channels give the same outputs.

    Tried on a copy with random weights and random images of the same shape: in a trained network a
    dead channel would hide a wrong cut.
    """
    generator = torch.Generator().manual_seed(0)
    masks = {group.name: half(group.size, generator) for group in groups}
    gone = removed(groups, masks)
    tried = scramble(model, generator)
    noise = torch.randn(2, *image.shape[1:], generator=generator).double().to(image.device)
    if not image.is_floating_point():  # ids: of noise none has an embedding
        noise = image.repeat(2, *[1] * (image.ndim - 1))
    cut = KeptChannels.without(tried, gone)
    try:
        with evaluating(tried):
            zero(tried, gone)
            try:
                right = tried(noise)
            except IndexError:  # it takes tokens, and noise is none
                noise = image.double().repeat(2, *[1] * (image.ndim - 1))
                right = tried(noise)
            cut.apply(tried)
            left = tried(noise)
    except (RuntimeError, ValueError, IndexError):  # layers no longer fit each other
        return False
    if left.shape != right.shape:
        return False
    return bool((left - right).abs().max() <= TOLERANCE * right.abs().max())


def half(size: int, generator: torch.Generator) -> Tensor:
    """(size,) bool: about half True, at least one True and one False."""
    return torch.randperm(size, generator=generator) < max(size // 2, 1)


def scramble(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """A copy in double precision whose weights are N(0, 1/fan-in), biases and statistics random."""
    copied = copy.deepcopy(model).double()
    with torch.no_grad():
        for parameter in copied.parameters():
            fan_in = max(parameter[0].numel(), 1) if parameter.dim() > 1 else 1
            noise = torch.randn(parameter.shape, generator=generator).double()
            parameter.copy_(noise / fan_in**0.5)
        for name, tensor in copied.named_buffers():
            if name.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=generator).double() + 0.5)
            elif name.endswith("running_mean"):
                tensor.copy_(torch.randn(tensor.shape, generator=generator).double())
    return copied
