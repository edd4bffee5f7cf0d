"""The linear classifier at a network's end, and the map whose mean over places goes into it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from condenser.capture.conditions import evaluating
from condenser.capture.layers import Call, calls_of, is_map
from condenser.errors import CondenserError


class Classifier(NamedTuple):
    """logits = W·feature + b, feature a vector or the mean of a map over its places.

    Attributes:
        layer: where the feature is seen, a name of ``Capture``.
        linear: the layer that has W (classes, channels) and b.
    """

    layer: str
    linear: nn.Linear


class Frozen(nn.Module):
    """W·x + b of a linear layer as it is: in no training, and in no checkpoint."""

    weight: Tensor
    bias: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias
        for name, tensor in (("weight", linear.weight), ("bias", bias)):
            self.register_buffer(name, tensor.detach().clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype))


def classifier_of(model: nn.Module, image: Tensor) -> Classifier:
    """The last linear layer, of which the logits must come, and the vector that goes into it.

    Raises:
        CondenserError: the network ends otherwise.
    """
    call, _ = _last_linear(model, image)
    assert isinstance(call.module, nn.Linear)
    return Classifier(f"{call.name}:input", call.module)


def pooled_classifier_of(model: nn.Module, image: Tensor) -> Classifier:
    """The last linear layer, and the last map whose mean over places goes into it.

    Raises:
        CondenserError: the network ends otherwise.
    """
    (_, linear, feature, _), calls = _last_linear(model, image)
    assert isinstance(linear, nn.Linear)
    for layer, seen in _maps(calls):
        if seen.shape[:2] == feature.shape and _close(seen.mean(dim=(2, 3)), feature):
            return Classifier(layer, linear)
    found = "no map is averaged over its places right before its classifier"
    raise CondenserError(f"{type(model).__name__}: {found}, as distill=cat_kd and distill=sdd need")


def _last_linear(model: nn.Module, image: Tensor) -> tuple[Call, list[Call]]:
    calls = calls_of(model, image)
    with evaluating(model), torch.no_grad():
        logits = model(image)
    for call in reversed(calls):
        if isinstance(call.module, nn.Linear):
            if call.input.dim() == 2 and _close(call.output, logits):
                return call, calls
            break
    name = type(model).__name__
    raise CondenserError(f"{name}: its logits are not what its last linear layer makes of a vector")


def _maps(calls: list[Call]) -> Iterator[tuple[str, Tensor]]:
    """Maps from the end on: what layers give, and then what goes into them."""
    for call in reversed(calls):
        if is_map(call):
            yield call.name, call.output
    for call in reversed(calls):
        if call.input.dim() == 4 and min(call.input.shape[2:]) > 1:
            yield f"{call.name}:input", call.input


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-5)
