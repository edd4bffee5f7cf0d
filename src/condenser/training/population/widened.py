"""K networks as one: K times the channels, convolutions in groups, linear layers in batches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap

Forward = Callable[[Sequence[Tensor]], Tensor]
Stacked = Mapping[str, Tensor]


class NotWidened(Exception):
    """Why the networks cannot be one."""


class Wide(nn.Module):
    """A layer of K networks on (batch, K·channels, …), the first network's channels first."""

    def __init__(self, layer: nn.Module, name: str, tensors: Stacked) -> None:
        super().__init__()
        self.layer: tuple[Any, ...] = (layer,)  # in a tuple: nn.Module does not register it
        self.own = {
            key: tensors.get(f"{name}.{key}") for key in (*layer._parameters, *layer._buffers)
        }
        self.count = next(len(t) for t in self.own.values() if t is not None)

    def flat(self, key: str) -> Tensor | None:
        """A vector or kernel of all networks, one after the other."""
        tensor = self.own[key]
        return None if tensor is None else tensor.flatten(0, 1)


class Linear(Wide):
    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.own["weight"], self.own["bias"]
        assert weight is not None
        if x.dim() != 2:
            raise NotWidened(f"a linear layer on {x.dim()} dimensions")
        each = x.view(len(x), self.count, -1).transpose(0, 1)
        back = weight.transpose(1, 2)
        made = torch.bmm(each, back) if bias is None else torch.baddbmm(bias[:, None], each, back)
        return made.transpose(0, 1).reshape(len(x), -1)


class Conv2d(Wide):
    def forward(self, x: Tensor) -> Tensor:
        one, weight, bias = self.layer[0], self.flat("weight"), self.flat("bias")
        assert weight is not None
        groups = self.count * one.groups
        return F.conv2d(x, weight, bias, one.stride, one.padding, one.dilation, groups)


class BatchNorm(Wide):
    def forward(self, x: Tensor) -> Tensor:
        one = self.layer[0]
        mean, var = self.flat("running_mean"), self.flat("running_var")
        if one.training and (counted := self.own["num_batches_tracked"]) is not None:
            counted.add_(1)
        batch = one.training or mean is None
        weight, bias = self.flat("weight"), self.flat("bias")
        return F.batch_norm(x, mean, var, weight, bias, batch, one.momentum, one.eps)


KINDS: Mapping[type[nn.Module], type[Wide]] = {
    nn.Linear: Linear,
    nn.Conv2d: Conv2d,
    nn.BatchNorm1d: BatchNorm,
    nn.BatchNorm2d: BatchNorm,
}


def widened(model: nn.Module, tensors: Stacked, count: int) -> Forward:
    """K networks of stacked ``tensors``: images of each (batch, …) → logits (K, batch, outputs).

    Right where channels do not meet but in these layers, which a caller has to try.

    Raises:
        NotWidened: a layer with weights is of another kind.
    """
    wide = swapped(copy.deepcopy(model), "", tensors)

    convolves = any(isinstance(layer, Conv2d) for layer in wide.modules())

    def forward(images: Sequence[Tensor]) -> Tensor:
        if convolves:  # channels last in memory
            x = torch.cat([one.movedim(1, -1) for one in images], dim=-1).movedim(-1, 1)
        else:
            x = torch.cat([*images], dim=1)
        logits = wide(x)
        return logits.view(len(x), count, -1).transpose(0, 1)

    return forward


def swapped(module: nn.Module, name: str, tensors: Stacked) -> nn.Module:
    """The module with its layers in place of their wide ones, in place."""
    if kind := KINDS.get(type(module)):
        refuse(module)
        return kind(module, name, tensors)
    if module._parameters or module._buffers:
        raise NotWidened(f"weights in {type(module).__name__}")
    for key, child in module._modules.items():
        if child is not None:
            module._modules[key] = swapped(child, f"{name}.{key}".lstrip("."), tensors)
    return module


def refuse(layer: nn.Module) -> None:
    """NotWidened for a layer that is of the kind and does something else."""
    if "weight" not in layer._parameters or layer._forward_pre_hooks or layer._forward_hooks:
        raise NotWidened(f"a {type(layer).__name__} with hooks or a computed weight")
    if getattr(layer, "padding_mode", "zeros") != "zeros" or getattr(layer, "momentum", 0) is None:
        raise NotWidened(f"a {type(layer).__name__} with other padding, or with a plain mean")


def mapped(model: nn.Module, parameters: Stacked, buffers: Stacked) -> Forward:
    """The same of any network that torch.func can map."""
    empty = copy.deepcopy(model).to("meta")

    def one(own: Stacked, held: Stacked, images: Tensor) -> Tensor:
        return functional_call(empty, (dict(own), dict(held)), (images,))

    return lambda images: vmap(one)(dict(parameters), dict(buffers), torch.stack([*images]))
