"""Residual networks for small images: resnet20 … resnet110, resnet8x4, resnet32x4."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from condenser.errors import ConfigError
from condenser.models.kaiming import kaiming_fan_out


class BasicBlock(nn.Module):
    """relu2(bn2(conv2(relu1(bn1(conv1(x))))) + downsample(x)).

    The sum before the last activation is the input of ``relu2``.
    """

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or before != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu2(out + self.downsample(x))


class ResNet(nn.Module):
    """He's residual network for CIFAR with 1×1 shortcuts. images → logits (batch, classes).

    ``depth`` = 6n + 2: three stages of n blocks. ``widths`` are the channels of the stem and
    of the stages; four times the usual makes resnet8x4 and resnet32x4. Where He et al. pad the
    shortcut with zeros, it is a 1×1 convolution with batch normalisation here, as in the
    distillation tables. Images are 8×8 or larger.

    Sources: He et al. 2016, https://arxiv.org/abs/1512.03385; variant and widths: Tian et al.
    2020, https://arxiv.org/abs/1910.10699, https://github.com/HobbitLong/RepDistiller
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        depth: int,
        widths: Sequence[int] = (16, 16, 32, 64),
    ) -> None:
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise ConfigError("model.depth", depth, "6n+2, such as 8, 20, 32, 44, 56, 110")
        if len(widths) != 4:
            raise ConfigError("model.widths", list(widths), "four numbers: stem, three stages")
        blocks = depth // 6
        self.conv1 = nn.Conv2d(input_shape[0], widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        self.layer1 = _stage(widths[0], widths[1], blocks, stride=1)
        self.layer2 = _stage(widths[1], widths[2], blocks, stride=2)
        self.layer3 = _stage(widths[2], widths[3], blocks, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[3], num_classes)
        kaiming_fan_out(self)

    def forward(self, image: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(image)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def _stage(before: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(before, width, stride)
    return nn.Sequential(first, *(BasicBlock(width, width, 1) for _ in range(blocks - 1)))
