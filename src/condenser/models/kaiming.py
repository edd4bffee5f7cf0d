"""Weight initialisation shared by the papers' convolutional networks."""

from __future__ import annotations

from torch import nn


def kaiming_fan_out(model: nn.Module) -> None:
    """Initialise convolutions from N(0, 2 / (k·k·out_channels)) and their biases with zero.

    Uses torch's global generator. Other layers keep torch's default initialisation.

    Source: He et al., Delving Deep into Rectifiers, 2015, https://arxiv.org/abs/1502.01852
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
