"""DS-CNN: keywords by depthwise separable convolutions over a log-mel spectrogram."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.errors import ConfigError
from condenser.models.kaiming import kaiming_fan_out
from condenser.models.log_mel import LogMel, SpecAugment


class Separable(nn.Module):
    """3×3 depthwise → BN → ReLU → 1×1 → BN → ReLU."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False)
        self.bn1 = nn.BatchNorm2d(before)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(before, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(x)))


class DSCNN(nn.Module):
    """A convolution of 10 mels × 4 frames, ``blocks`` separable ones, a mean. waveform → logits.

    The paper's S, M and L are of width 64, 172 and 276, with 4, 4 and 5 blocks; its first stride is
    2 by 2 (of S), its features are 10 MFCCs, the wider window along time. Here they are log-mels,
    so that the window's longer side lies along frequency, and the strides are those of S at every
    width. Settings of the features are LogMel's; ``augment_mels`` and ``augment_frames`` are
    SpecAugment's.

    Source: Zhang et al., Hello Edge: Keyword Spotting on Microcontrollers (2017), table 9,
    https://arxiv.org/abs/1711.07128
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        width: int = 64,
        blocks: int = 4,
        rate: int = 8000,
        window: float = 0.032,
        hop: float = 0.025,
        mels: int = 40,
        augment_mels: int = 0,
        augment_frames: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if width < 1 or blocks < 0:
            raise ConfigError("model.width", f"{width}, blocks={blocks}", "width >= 1, blocks >= 0")
        self.features = LogMel(input_shape[-1], rate, window, hop, mels)
        self.augment = SpecAugment(augment_mels, augment_frames)
        self.conv1 = nn.Conv2d(1, width, (10, 4), stride=2, padding=(5, 2), bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.blocks = nn.Sequential(*(Separable(width, width) for _ in range(blocks)))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, num_classes)
        kaiming_fan_out(self)

    def forward(self, waveform: Tensor) -> Tensor:
        x = self.augment(self.features(waveform))
        x = self.blocks(self.relu1(self.bn1(self.conv1(x))))
        return self.fc(self.dropout(torch.flatten(self.avgpool(x), 1)))
