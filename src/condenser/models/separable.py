"""A network of separable convolutions for digits, of hundreds to thousands of weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.errors import count
from condenser.models.kaiming import kaiming_fan_out


class Block(nn.Module):
    """A 3×3 convolution of each channel, a 1×1 convolution across them, batch norm, ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.each = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.across = nn.Conv2d(width, width, 1, bias=False)
        self.norm, self.relu = nn.BatchNorm2d(width), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.norm(self.across(self.each(x))))


class Separable(nn.Module):
    """5×5 convolution of stride 2 → three blocks, pooled in between → mean → linear.

    images → logits (batch, classes). ``width`` channels throughout: 25·C·in + 3·(9·C + C²) weights
    of convolutions, of which 16 channels and one of input have 1,600, and (C + 1)·classes.
    """

    def __init__(
        self, input_shape: tuple[int, int, int], num_classes: int, width: int = 16
    ) -> None:
        super().__init__()
        count("model.width", width)
        self.conv1 = nn.Conv2d(input_shape[0], width, 5, stride=2, padding=2, bias=False)
        self.bn1, self.relu1 = nn.BatchNorm2d(width), nn.ReLU()
        self.block1, self.block2, self.block3 = (Block(width) for _ in range(3))
        self.pool1, self.pool2 = (nn.MaxPool2d(2, ceil_mode=True) for _ in range(2))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(width, num_classes)
        kaiming_fan_out(self)

    def forward(self, image: Tensor) -> Tensor:
        x = self.pool1(self.block1(self.relu1(self.bn1(self.conv1(image)))))
        x = self.block3(self.pool2(self.block2(x)))
        return self.fc(torch.flatten(self.avgpool(x), 1))
