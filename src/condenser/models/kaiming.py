"""The initial weights that the papers' convolutional networks share."""

from __future__ import annotations

from torch import nn


def kaiming_fan_out(model: nn.Module) -> None:
    """Draw every convolution from N(0, 2 / (k·k·out_channels)) and set its bias to zero.

    The draw is from torch's global generator. Other layers keep torch's own initial weights.

    Source: He et al., Delving Deep into Rectifiers, 2015, https://arxiv.org/abs/1502.01852
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
