"""TC-ResNet: keywords by 1-d convolutions over time, frequencies as channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.errors import ConfigError
from condenser.models.kaiming import kaiming_fan_out
from condenser.models.log_mel import LogMel, SpecAugment

CHANNELS = {8: (16, 24, 32, 48), 14: (16, 24, 24, 32, 32, 48, 48)}  # at width 1, by depth


class TemporalBlock(nn.Module):
    """relu2(bn2(conv2(relu1(bn1(conv1(x))))) + shortcut(x)), kernels of 9 frames.

    Where the width changes, the first has stride 2 and the shortcut is 1×1 → BN → ReLU.
    """

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, (1, 9), (1, stride), padding=(0, 4), bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, (1, 9), padding=(0, 4), bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, width, 1, (1, stride), bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            )
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu2(out + self.shortcut(x))


class TCResNet(nn.Module):
    """TC-ResNet8 or 14, by ``depth``; channels are multiplied by ``width``. waveform → logits.

    Differs from the paper in its features: 40 log-mels instead of 40 MFCCs. Settings of the
    features are LogMel's; ``augment_mels`` and ``augment_frames`` SpecAugment's.

    Source: Choi et al., Temporal Convolution for Real-time Keyword Spotting on Mobile Devices
    (2019), https://arxiv.org/abs/1904.03814
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        depth: int = 8,
        width: float = 1.0,
        rate: int = 8000,
        window: float = 0.032,
        hop: float = 0.025,
        mels: int = 40,
        augment_mels: int = 0,
        augment_frames: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if depth not in CHANNELS:
            raise ConfigError("model.depth", depth, "8 or 14")
        if width < 1 / 16:
            raise ConfigError("model.width", width, ">= 0.0625")
        self.features = LogMel(input_shape[-1], rate, window, hop, mels)
        self.augment = SpecAugment(augment_mels, augment_frames)
        first, *usual = CHANNELS[depth]
        before = int(first * width)
        self.conv1 = nn.Conv2d(mels, before, (1, 3), padding=(0, 1), bias=False)
        self.bn1 = nn.BatchNorm2d(before)
        self.relu1 = nn.ReLU()
        blocks = []
        for channels, previous in zip(usual, CHANNELS[depth], strict=False):
            after = int(channels * width)
            blocks.append(TemporalBlock(before, after, 1 if channels == previous else 2))
            before = after
        self.blocks = nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(before, num_classes)
        kaiming_fan_out(self)

    def forward(self, waveform: Tensor) -> Tensor:
        x = self.augment(self.features(waveform)).transpose(1, 2)
        x = self.blocks(self.relu1(self.bn1(self.conv1(x))))
        return self.fc(self.dropout(torch.flatten(self.avgpool(x), 1)))
