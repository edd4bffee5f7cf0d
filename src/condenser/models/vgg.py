"""VGG for small images, with batch normalisation and one linear layer: vgg8, vgg13."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from condenser.errors import ConfigError
from condenser.models.kaiming import kaiming_fan_out


class VGG(nn.Module):
    """Five stages of 3×3 conv → bn → ReLU, pooled in between. images → logits (batch, classes).

    ``stages`` lists the channels of each stage's convolutions: vgg8 has one a stage, vgg13 two.
    Max-pooling follows stages 1 to 3, and stage 4 only when the image's side is 64 or more; the
    last pooling is a global average. Layers are named layer1.conv1, layer1.bn1, layer1.relu1, …
    Features are compared after stages 2 to 5, as in the tables.

    Sources: Simonyan & Zisserman 2015, https://arxiv.org/abs/1409.1556; this variant: Tian et
    al. 2020, https://github.com/HobbitLong/RepDistiller
    """

    feature_layers = ("layer2", "layer3", "layer4", "layer5")

    def __init__(
        self, input_shape: tuple[int, int, int], num_classes: int, stages: Sequence[Sequence[int]]
    ) -> None:
        super().__init__()
        if len(stages) != 5 or not all(stages):
            raise ConfigError("model.stages", stages, "five lists of channels")
        before = [input_shape[0], *(stage[-1] for stage in stages)]
        small = min(input_shape[1:]) < 64
        self.layer1 = _stage(before[0], stages[0])
        self.pool1 = nn.MaxPool2d(2)
        self.layer2 = _stage(before[1], stages[1])
        self.pool2 = nn.MaxPool2d(2)
        self.layer3 = _stage(before[2], stages[2])
        self.pool3 = nn.MaxPool2d(2)
        self.layer4 = _stage(before[3], stages[3])
        self.pool4: nn.Module = nn.Identity() if small else nn.MaxPool2d(2)
        self.layer5 = _stage(before[4], stages[4])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(before[5], num_classes)
        kaiming_fan_out(self)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, image: Tensor) -> Tensor:
        x = self.pool2(self.layer2(self.pool1(self.layer1(image))))
        x = self.pool4(self.layer4(self.pool3(self.layer3(x))))
        x = self.avgpool(self.layer5(x))
        return self.classifier(torch.flatten(x, 1))


def _stage(before: int, widths: Sequence[int]) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index, width in enumerate(widths, start=1):
        layers[f"conv{index}"] = nn.Conv2d(before, width, 3, padding=1)
        layers[f"bn{index}"] = nn.BatchNorm2d(width)
        layers[f"relu{index}"] = nn.ReLU()
        before = width
    return nn.Sequential(layers)
