"""Networks that are only tested with."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SmallTransformer(nn.Module):
    """Patches, a table of positions, two blocks of attention, the mean token, logits."""

    def __init__(
        self, input_shape: tuple[int, int, int], num_classes: int, width: int = 16, patch: int = 4
    ) -> None:
        super().__init__()
        channels, height, side = input_shape
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.positions = nn.Embedding((height // patch) * (side // patch), width)
        self.blocks = nn.Sequential(Block(width), Block(width))
        self.head = nn.Linear(width, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        tokens = self.patches(image).flatten(2).transpose(1, 2)
        places = torch.arange(tokens.shape[1], device=image.device)
        out: Tensor = self.head(self.blocks(tokens + self.positions(places)).mean(1))
        return out


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        out: Tensor = x + self.down(torch.relu(self.up(self.norm2(x))))
        return out


class Narrow(nn.Sequential):
    """One hidden layer, as somebody writes it who knows nothing of this package."""

    def __init__(self, width: int = 16) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
        self.width = width
