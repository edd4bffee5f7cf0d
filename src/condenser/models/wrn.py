"""Wide residual networks for small images: wrn_16_1, wrn_16_2, wrn_40_1, wrn_40_2."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.errors import ConfigError, count
from condenser.models.kaiming import kaiming_fan_out


class PreactBlock(nn.Module):
    """conv2(relu2(bn2(conv1(relu1(bn1(x)))))) + x: activation comes before convolution.

    Where the width changes, the shortcut is a 1×1 convolution of relu1(bn1(x)) instead of x.
    """

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.widens = before != width
        self.downsample: nn.Module = nn.Identity()
        if self.widens:
            self.downsample = nn.Conv2d(before, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = self.relu1(self.bn1(x))
        out = self.conv2(self.relu2(self.bn2(self.conv1(active))))
        return out + self.downsample(active if self.widens else x)


class WideResNet(nn.Module):
    """WRN-depth-widen. images (any size from 8×8 up) → logits (batch, classes).

    ``depth`` = 6n + 4: three stages of n blocks with 16, 32 and 64 times ``widen`` channels.
    A stage's output has not passed an activation yet; ``bn1`` and ``relu`` follow the last.

    Sources: Zagoruyko & Komodakis 2016, https://arxiv.org/abs/1605.07146; no dropout, as in
    Tian et al. 2020, https://github.com/HobbitLong/RepDistiller
    """

    def __init__(
        self, input_shape: tuple[int, int, int], num_classes: int, depth: int, widen: int
    ) -> None:
        super().__init__()
        if depth < 10 or depth % 6 != 4:
            raise ConfigError("model.depth", depth, "6n+4, such as 10, 16, 22, 28, 40")
        count("model.widen", widen)
        blocks = depth // 6
        self.conv1 = nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False)
        self.layer1 = _stage(16, 16 * widen, blocks, stride=1)
        self.layer2 = _stage(16 * widen, 32 * widen, blocks, stride=2)
        self.layer3 = _stage(32 * widen, 64 * widen, blocks, stride=2)
        self.bn1 = nn.BatchNorm2d(64 * widen)
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64 * widen, num_classes)
        kaiming_fan_out(self)
        nn.init.zeros_(self.fc.bias)

    def forward(self, image: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(self.conv1(image))))
        x = self.avgpool(self.relu(self.bn1(x)))
        return self.fc(torch.flatten(x, 1))


def _stage(before: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = PreactBlock(before, width, stride)
    return nn.Sequential(first, *(PreactBlock(width, width, 1) for _ in range(blocks - 1)))
