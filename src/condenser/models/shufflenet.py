"""ShuffleNet V1 for 32×32 images, as the distillation tables use it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from condenser.errors import ConfigError

STEM = 24


class ChannelShuffle(nn.Module):
    """Interleave the channel groups: channel i of group g moves to place i·groups + g."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)


class ShuffleUnitV1(nn.Module):
    """Grouped 1×1 conv → shuffle → 3×3 depthwise → grouped 1×1 conv, joined with x.

    At stride 1 the sum with x, at stride 2 the concatenation with the averaged x.
    The branch has ``width`` channels out and a quarter of them inside.
    """

    def __init__(self, before: int, width: int, stride: int, groups: int) -> None:
        super().__init__()
        inner = width // 4
        # A group of the stem's few channels would be too thin, so the first conv has one group.
        first_groups = 1 if before == STEM else groups
        self.conv1 = nn.Conv2d(before, inner, 1, groups=first_groups, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.relu1 = nn.ReLU()
        self.shuffle = ChannelShuffle(first_groups)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=inner, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(inner, width, 1, groups=groups, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.halves = stride == 2
        self.downsample = nn.AvgPool2d(3, 2, padding=1) if self.halves else nn.Identity()
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out = self.shuffle(self.relu1(self.bn1(self.conv1(x))))
        out = self.relu2(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        x = self.downsample(x)
        return self.relu3(torch.cat([out, x], 1) if self.halves else out + x)


class ShuffleNetV1(nn.Module):
    """ShuffleNet with a 1×1 stem, for small images. images → logits (batch, classes).

    ``widths`` and ``blocks`` are of the three stages, each of which halves the image's side.

    Sources: Zhang et al. 2018, https://arxiv.org/abs/1707.01083; this variant (ReLU after the
    depthwise convolution too): Tian et al. 2020, https://github.com/HobbitLong/RepDistiller
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        widths: Sequence[int] = (240, 480, 960),
        blocks: Sequence[int] = (4, 8, 4),
        groups: int = 3,
    ) -> None:
        super().__init__()
        if len(widths) != 3 or len(blocks) != 3:
            given = {"widths": list(widths), "blocks": list(blocks)}
            raise ConfigError("model", given, "three widths and three blocks")
        self.conv1 = nn.Conv2d(input_shape[0], STEM, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.relu = nn.ReLU()
        self.layer1 = _stage(STEM, widths[0], blocks[0], groups)
        self.layer2 = _stage(widths[0], widths[1], blocks[1], groups)
        self.layer3 = _stage(widths[1], widths[2], blocks[2], groups)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[2], num_classes)

    def forward(self, image: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(image)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def _stage(before: int, width: int, blocks: int, groups: int) -> nn.Sequential:
    first = ShuffleUnitV1(before, width - before, 2, groups)  # x itself fills the rest
    rest = (ShuffleUnitV1(width, width, 1, groups) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
