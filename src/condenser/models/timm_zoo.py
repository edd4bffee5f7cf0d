"""Any network of timm by name, for the data's channels and classes."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any

from torch import nn

from condenser.errors import ConfigError, nearest
from condenser.models.torchvision_zoo import out_of_place

PINS = {"timm": "timm==1.0.31", "transformers": "transformers==5.24.0"}


def timm_model(
    input_shape: tuple[int, int, int],
    num_classes: int,
    architecture: str,
    weights: str | None = None,
) -> nn.Module:
    """The timm network ``architecture``: images → logits (batch, num_classes).

    ``weights``: null initialises randomly; DEFAULT or a tag of timm's, such as ``a1_in1k``,
    downloads published ones, the head new if its classes differ. A network that is made for one
    image size is built for that of the data.

    Raises ConfigError where timm is not installed, for an unknown name, for weights that cannot be
    had and for images that the network cannot take.

    Source: https://huggingface.co/docs/timm
    """
    needed("timm", architecture)
    import timm

    if not timm.is_model(architecture):
        hint = nearest(architecture, timm.list_models())
        raise ConfigError("model.architecture", architecture, "a network of timm", hint)
    tag = "" if weights in (None, "DEFAULT") else f".{weights}"
    settings: dict[str, Any] = {
        "pretrained": weights is not None,
        "num_classes": num_classes,
        "in_chans": input_shape[0],
    }
    error: Exception | None = None
    sizes: tuple[dict[str, Any], ...] = ({"img_size": input_shape[1:]}, {})
    for sized in sizes:  # convolutional networks take none
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return out_of_place(timm.create_model(f"{architecture}{tag}", **settings, **sized))
        except TypeError as wrong:
            error = wrong
        except Exception as wrong:  # of the hub, of a size that no patch divides
            error = wrong
            break
    reason = " ".join(str(error).split())[:160]
    if weights is not None:
        allowed = "weights that can be downloaded (or null)"
        raise ConfigError("model.weights", weights, allowed, reason) from error
    fits = f"a network for {'x'.join(map(str, input_shape))} images"
    raise ConfigError("model.architecture", architecture, fits, reason) from error


def needed(package: str, architecture: str) -> None:
    """ConfigError unless an optional package is there, with what installs it."""
    if find_spec(package) is None:
        hint = f"pip install {PINS[package]}"
        allowed = f"a network of torchvision or of yours: {package} is not installed"
        raise ConfigError("model.architecture", architecture, allowed, hint)
