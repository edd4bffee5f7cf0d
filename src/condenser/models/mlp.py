"""Multilayer perceptrons: Hinton's of the distillation paper, LeNet-300-100, small students."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import nn

from condenser.errors import ConfigError, below_one

LARGEST = 2**16  # numbers of an image


class MLP(nn.Sequential):
    """ReLU layers of the given widths, then a linear layer to the classes.

    images (batch, C, H, W), or other numbers → logits (batch, classes). Layers are named fc1,
    relu1, fc2, …; the last fc gives the logits. ``input_dropout`` drops pixels, ``dropout`` hidden
    units (Hinton's large net: 0.2 and 0.5). Initialisation is torch's default.

    Source: Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, 2015,
    https://arxiv.org/abs/1503.02531

    Raises ConfigError for images of more than 65,536 numbers (3×128×128 are fewer): nearly all
    weights would be the first layer's.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        widths: Sequence[int],
        dropout: float = 0.0,
        input_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        below_one("model.dropout", dropout)
        below_one("model.input_dropout", input_dropout)
        self.add_module("flatten", nn.Flatten())
        if input_dropout:
            self.add_module("dropout0", nn.Dropout(input_dropout))
        before = _inputs(input_shape)
        for index, width in enumerate(widths, start=1):
            self.add_module(f"fc{index}", nn.Linear(before, width))
            self.add_module(f"relu{index}", nn.ReLU())
            if dropout:
                self.add_module(f"dropout{index}", nn.Dropout(dropout))
            before = width
        self.add_module(f"fc{len(widths) + 1}", nn.Linear(before, num_classes))


def _inputs(shape: tuple[int, ...]) -> int:
    count = prod(shape)
    if count > LARGEST:
        size = "×".join(map(str, shape))
        allowed = f"a convolutional network for images of {size}, not an MLP"
        raise ConfigError("model._target_", "condenser.models.MLP", allowed, "as resnet18 is")
    return count
