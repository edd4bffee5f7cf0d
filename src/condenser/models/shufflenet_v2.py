"""ShuffleNet V2 for 32×32 images, as the distillation tables use it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from condenser.errors import ConfigError
from condenser.models.shufflenet import STEM, ChannelShuffle


class ShuffleUnitV2(nn.Module):
    """Half of the channels pass, the other half is convolved, then both are shuffled."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1 = nn.Conv2d(half, half, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)
        self.relu3 = nn.ReLU()
        self.shuffle = ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        passed, out = x.chunk(2, 1)
        out = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(out)))))
        out = self.relu3(self.bn3(self.conv3(out)))
        return self.shuffle(torch.cat([passed, out], 1))


class DownUnitV2(nn.Module):
    """Two branches of stride 2, each giving half of the channels, then shuffled."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1 = nn.Conv2d(before, before, 3, 2, padding=1, groups=before, bias=False)
        self.bn1 = nn.BatchNorm2d(before)
        self.conv2 = nn.Conv2d(before, half, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(before, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)
        self.relu3 = nn.ReLU()
        self.conv4 = nn.Conv2d(half, half, 3, 2, padding=1, groups=half, bias=False)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = nn.Conv2d(half, half, 1, bias=False)
        self.bn5 = nn.BatchNorm2d(half)
        self.relu5 = nn.ReLU()
        self.shuffle = ChannelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        left = self.relu2(self.bn2(self.conv2(self.bn1(self.conv1(x)))))
        right = self.bn4(self.conv4(self.relu3(self.bn3(self.conv3(x)))))
        right = self.relu5(self.bn5(self.conv5(right)))
        return self.shuffle(torch.cat([left, right], 1))


class ShuffleNetV2(nn.Module):
    """ShuffleNet V2 with a 1×1 stem, for small images. images → logits (batch, classes).

    ``widths`` are of the three stages and of the last 1×1 convolution; ``blocks`` counts the
    units after each stage's downsampling.

    Sources: Ma et al. 2018, https://arxiv.org/abs/1807.11164; this variant: Tian et al. 2020,
    https://github.com/HobbitLong/RepDistiller
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        widths: Sequence[int] = (116, 232, 464, 1024),
        blocks: Sequence[int] = (3, 7, 3),
    ) -> None:
        super().__init__()
        if len(widths) != 4 or len(blocks) != 3:
            given = {"widths": list(widths), "blocks": list(blocks)}
            raise ConfigError("model", given, "four widths and three blocks")
        self.conv1 = nn.Conv2d(input_shape[0], STEM, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.relu1 = nn.ReLU()
        self.layer1 = _stage(STEM, widths[0], blocks[0])
        self.layer2 = _stage(widths[0], widths[1], blocks[1])
        self.layer3 = _stage(widths[1], widths[2], blocks[2])
        self.conv2 = nn.Conv2d(widths[2], widths[3], 1, bias=False)
        self.bn2 = nn.BatchNorm2d(widths[3])
        self.relu2 = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[3], num_classes)

    def forward(self, image: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(image)))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = self.avgpool(self.relu2(self.bn2(self.conv2(x))))
        return self.fc(torch.flatten(x, 1))


def _stage(before: int, width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(DownUnitV2(before, width), *(ShuffleUnitV2(width) for _ in range(blocks)))
