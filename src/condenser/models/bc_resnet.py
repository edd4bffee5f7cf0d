"""BC-ResNet: keywords by residual blocks that see frequencies by 2-d, time by 1-d convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from condenser.errors import ConfigError
from condenser.models.log_mel import LogMel, SpecAugment

BANDS = 5  # of sub-spectral normalisation
# channels at τ = 1, blocks, stride over frequencies, dilation over time
STAGES = ((8, 2, 1, 1), (12, 2, 2, 2), (16, 4, 2, 4), (20, 4, 1, 8))


class SubSpectralNorm(nn.Module):
    """A batch norm of each channel in each of ``BANDS`` bands of frequencies.

    Source: Chang et al. 2021, https://arxiv.org/abs/2103.13620
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels * BANDS)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(x.unflatten(2, (BANDS, -1)).flatten(1, 2)).view_as(x)


class Block(nn.Module):
    """relu(x + f₂(x) + f₁(mean of f₂(x) over frequencies)); x is left out where the width changes.

    f₂: 3×1 depthwise → sub-spectral norm, after a 1×1 convolution where the width changes.
    f₁: 1×3 depthwise → BN → swish → 1×1 → dropout of channels.
    """

    def __init__(self, before: int, width: int, stride: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.residual = before == width
        self.expand: nn.Module = nn.Identity()
        if not self.residual:
            self.expand = nn.Sequential(
                nn.Conv2d(before, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
            )
        self.frequency = nn.Conv2d(
            width, width, (3, 1), (stride, 1), padding=(1, 0), groups=width, bias=False
        )
        self.norm = SubSpectralNorm(width)
        self.time = nn.Conv2d(
            width,
            width,
            (1, 3),
            padding=(0, dilation),
            dilation=(1, dilation),
            groups=width,
            bias=False,
        )
        self.bn = nn.BatchNorm2d(width)
        self.swish = nn.SiLU()
        self.point = nn.Conv2d(width, width, 1, bias=False)
        self.dropout = nn.Dropout2d(dropout)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        two = self.norm(self.frequency(self.expand(x)))
        one = self.swish(self.bn(self.time(two.mean(2, keepdim=True))))
        out = two + self.dropout(self.point(one))
        return self.relu(out + x if self.residual else out)


class BCResNet(nn.Module):
    """BC-ResNet-τ of the paper, τ = ``width``: 1, 1.5, 2, 3, 6, 8. waveform → logits.

    Settings of the features are LogMel's; ``augment_mels`` and ``augment_frames`` SpecAugment's.

    Source: Kim et al., Broadcasted Residual Learning for Efficient Keyword Spotting (2021),
    https://arxiv.org/abs/2106.04140
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        width: float = 1.0,
        rate: int = 8000,
        window: float = 0.032,
        hop: float = 0.025,
        mels: int = 40,
        augment_mels: int = 0,
        augment_frames: int = 0,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if width < 0.25:
            raise ConfigError("model.width", width, ">= 0.25")
        if mels % 40:
            raise ConfigError("model.mels", mels, "a multiple of 40: three halvings, five bands")
        self.features = LogMel(input_shape[-1], rate, window, hop, mels)
        self.augment = SpecAugment(augment_mels, augment_frames)
        before = int(16 * width)
        self.conv1 = nn.Conv2d(1, before, 5, (2, 1), padding=2, bias=False)
        self.bn1 = nn.BatchNorm2d(before)
        self.relu1 = nn.ReLU()
        for index, (channels, blocks, stride, dilation) in enumerate(STAGES, start=1):
            after = int(channels * width)
            stage = nn.Sequential(
                Block(before, after, stride, dilation, dropout),
                *(Block(after, after, 1, dilation, dropout) for _ in range(blocks - 1)),
            )
            self.add_module(f"layer{index}", stage)
            before = after
        last = int(32 * width)
        self.conv2 = nn.Conv2d(before, before, 5, padding=(0, 2), groups=before, bias=False)
        self.conv3 = nn.Conv2d(before, last, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(last)
        self.relu3 = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(last, num_classes)

    def forward(self, waveform: Tensor) -> Tensor:
        x = self.augment(self.features(waveform))
        x = self.relu1(self.bn1(self.conv1(x)))
        for index in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{index}")(x)
        x = self.relu3(self.bn3(self.conv3(self.conv2(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))
