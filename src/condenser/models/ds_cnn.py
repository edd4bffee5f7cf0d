"""DS-CNN: keywords by depthwise separable convolutions over a log-mel spectrogram."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from condenser.errors import ConfigError
from condenser.models.kaiming import kaiming_fan_out
from condenser.models.log_mel import LogMel, SpecAugment


class Separable(nn.Module):
    """Depthwise → BN → ReLU → 1×1 → BN → ReLU."""

    def __init__(self, width: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        pad = kernel[0] // 2, kernel[1] // 2
        self.conv1 = nn.Conv2d(width, width, kernel, padding=pad, groups=width, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(x)))


class DSCNN(nn.Module):
    """A convolution of ``stem`` mels × frames, ``blocks`` separable ones of ``kernel``, a mean.
    waveform → logits.

    The paper's S, M and L are of width 64, 172 and 276, with 4, 4 and 5 blocks; its first stride is
    2 by 2 (of S), its features are 10 MFCCs, the wider window along time. Here they are log-mels,
    so that the stem's longer side lies along frequency, and the strides are those of S at every
    width. A stem of all mels leaves convolutions over time alone. Settings of the features are
    LogMel's; ``augment_mels`` and ``augment_frames`` SpecAugment's.

    Source: Zhang et al., Hello Edge: Keyword Spotting on Microcontrollers (2017), table 9,
    https://arxiv.org/abs/1711.07128
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        width: int = 64,
        blocks: int = 4,
        stem: Sequence[int] = (10, 4),
        stride: Sequence[int] = (2, 2),
        kernel: Sequence[int] = (3, 3),
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
        for key, value in (("stem", stem), ("stride", stride), ("kernel", kernel)):
            if len(value) != 2 or min(value) < 1:
                raise ConfigError(
                    f"model.{key}", list(value), "two numbers: over mels, over frames"
                )
        self.features = LogMel(input_shape[-1], rate, window, hop, mels)
        self.augment = SpecAugment(augment_mels, augment_frames)
        tall, wide = kernel
        pad = (0 if stem[0] == mels else stem[0] // 2, stem[1] // 2)
        self.conv1 = nn.Conv2d(
            1, width, (stem[0], stem[1]), (stride[0], stride[1]), pad, bias=False
        )
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.blocks = nn.Sequential(*(Separable(width, (tall, wide)) for _ in range(blocks)))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, num_classes)
        kaiming_fan_out(self)

    def forward(self, waveform: Tensor) -> Tensor:
        x = self.augment(self.features(waveform))
        x = self.blocks(self.relu1(self.bn1(self.conv1(x))))
        return self.fc(self.dropout(torch.flatten(self.avgpool(x), 1)))
