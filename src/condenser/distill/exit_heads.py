"""Exit heads: small classifiers on intermediate features."""

from __future__ import annotations

from itertools import pairwise
from math import gcd

from torch import Tensor, nn


def exit_of(feature: Tensor, left: int, last: int, classes: int) -> nn.Module:
    """Logits (batch, classes) from the features of a stage with ``left`` stages after it.

    Maps are halved ``left`` times by separable convolutions, which double the channels, the last of
    them to ``last``, and averaged over places. Tokens (batch, tokens, width) go through ``left``
    transformer blocks, one at least, and are averaged. Vectors go to the classifier as they are.

    As in the authors' code, but for tokens, which there are merged where they are more than 7×7,
    and not averaged where one of them stands for the class.

    Source: Hao et al., "One-for-All", NeurIPS 2023, https://arxiv.org/abs/2310.19444
    """
    if feature.dim() == 4:
        layers = [*halvings(feature.shape[1], left, last), Mean(2, 3), nn.Linear(last, classes)]
    elif feature.dim() == 3:
        width = feature.shape[2]
        layers = [*blocks(width, max(left, 1)), Mean(1), nn.Linear(width, classes)]
    else:
        layers = [nn.Linear(feature.shape[1], classes)]
    return nn.Sequential(*layers).apply(begin)


def halvings(width: int, steps: int, last: int) -> list[nn.Module]:
    """From ``width`` to ``last`` channels: each step doubles them and halves the resolution."""
    if not steps:
        return [nn.Conv2d(width, last, 1)]
    widths = [*(width * 2**step for step in range(steps)), last]
    return [nn.Sequential(*separable(i, i, 2), *separable(i, o, 1)) for i, o in pairwise(widths)]


def separable(before: int, after: int, stride: int) -> list[nn.Module]:
    """A 3×3 convolution of each channel, one across channels, batch norm, ReLU."""
    depthwise = nn.Conv2d(before, before, 3, stride, padding=1, groups=before, bias=False)
    across = nn.Conv2d(before, after, 1, bias=False)
    return [depthwise, across, nn.BatchNorm2d(after), nn.ReLU()]


def blocks(width: int, count: int) -> list[nn.Module]:
    """Pre-norm transformer blocks of up to four heads."""
    form = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
    heads = gcd(4, width)
    return [nn.TransformerEncoderLayer(width, heads, 4 * width, **form) for _ in range(count)]  # type: ignore[arg-type]


class Mean(nn.Module):
    """The mean over some dimensions."""

    def __init__(self, *over: int) -> None:
        super().__init__()
        self.over = over

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=self.over)


def begin(module: nn.Module) -> None:
    """The authors' initialisation."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
