"""MobileNetV2 for 32×32 images, as the distillation tables use it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.errors import ConfigError
from condenser.models.kaiming import kaiming_fan_out

# (expands, channels at width 1, blocks, stride of the first block) of layer1 … layer7
STAGES = (
    (False, 16, 1, 1),
    (True, 24, 2, 1),
    (True, 32, 3, 2),
    (True, 64, 4, 2),
    (True, 96, 3, 1),
    (True, 160, 3, 2),
    (True, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """1×1 conv up → 3×3 depthwise → 1×1 conv down, plus x where the shapes agree."""

    def __init__(self, before: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        self.conv1 = nn.Conv2d(before, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=inner, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(inner, width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.residual = stride == 1 and before == width

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.relu2(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return x + out if self.residual else out


class MobileNetV2(nn.Module):
    """MobileNetV2 with the strides of small images. images → logits (batch, classes).

    Channels are multiplied by ``width``, but the last 1×1 convolution has at least 1280.
    Differs from the paper as the tables' network does: the second stage keeps its resolution,
    activations are ReLU rather than ReLU6, and layer1 has its 1×1 convolution too.

    Sources: Sandler et al. 2018, https://arxiv.org/abs/1801.04381; this variant: Tian et al.
    2020, https://github.com/HobbitLong/RepDistiller
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        width: float = 0.5,
        expansion: int = 6,
    ) -> None:
        super().__init__()
        if width * 16 < 1:
            raise ConfigError("model.width", width, "a number from 0.0625 up")
        before, last = int(32 * width), int(1280 * max(1.0, width))
        self.conv1 = nn.Conv2d(input_shape[0], before, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(before)
        self.relu1 = nn.ReLU()
        for index, (expands, channels, blocks, stride) in enumerate(STAGES, start=1):
            after, factor = int(channels * width), expansion if expands else 1
            self.add_module(f"layer{index}", _stage(before, after, blocks, stride, factor))
            before = after
        self.conv2 = nn.Conv2d(before, last, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(last)
        self.relu2 = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(last, num_classes)
        kaiming_fan_out(self)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, image: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(image)))
        for index in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{index}")(x)
        x = self.relu2(self.bn2(self.conv2(x)))
        return self.classifier(torch.flatten(self.avgpool(x), 1))


def _stage(before: int, width: int, blocks: int, stride: int, expansion: int) -> nn.Sequential:
    first = InvertedResidual(before, width, stride, expansion)
    rest = (InvertedResidual(width, width, 1, expansion) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
