"""LeNet-5 as in Caffe: the network of the MNIST compression papers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from condenser.errors import ConfigError


class LeNet5(nn.Module):
    """conv 5×5 → pool → conv 5×5 → pool → fc → ReLU → fc. images → logits (batch, classes).

    ``widths`` are the channels of the two convolutions and the units of the hidden layer.
    As in Caffe, only max-pooling follows a convolution, and weights are initialised from
    U(-b, b) with b = √(3 / fan_in), biases with zero. ``padding`` is 0, as in Caffe, unless
    the image is too small for that (a side under 16): then 2, which keeps its size.

    Source: Caffe, examples/mnist/lenet_train_test.prototxt, https://github.com/BVLC/caffe
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        widths: Sequence[int] = (20, 50, 500),
        padding: int | None = None,
    ) -> None:
        super().__init__()
        channels, height, width = input_shape
        if len(widths) != 3:
            raise ConfigError("model.widths", list(widths), "three numbers: conv1, conv2, fc1")
        if padding is None:
            padding = 0 if min(height, width) >= 16 else 2
        side = [_side_after(_side_after(size, padding), padding) for size in (height, width)]
        if min(side) < 1:
            raise ConfigError("model.padding", padding, f"enough for {height}x{width} images")
        self.conv1 = nn.Conv2d(channels, widths[0], 5, padding=padding)
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(widths[0], widths[1], 5, padding=padding)
        self.pool2 = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(widths[1] * side[0] * side[1], widths[2])
        self.relu1 = nn.ReLU()
        self.fc2 = nn.Linear(widths[2], num_classes)
        self._start()

    def forward(self, image: Tensor) -> Tensor:
        image = self.pool1(self.conv1(image))
        image = self.pool2(self.conv2(image))
        return self.fc2(self.relu1(self.fc1(torch.flatten(image, 1))))

    def _start(self) -> None:
        for layer in (self.conv1, self.conv2, self.fc1, self.fc2):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="linear")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


def _side_after(size: int, padding: int) -> int:
    """A side's length after one 5×5 convolution and one 2×2 pooling."""
    return (size + 2 * padding - 4) // 2
