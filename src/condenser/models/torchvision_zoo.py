"""Any torchvision classifier by name, adapted to the data's channels and classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from condenser.errors import ConfigError, UnknownError, nearest


def torchvision_model(
    input_shape: tuple[int, int, int],
    num_classes: int,
    architecture: str,
    weights: str | None = None,
) -> nn.Module:
    """The torchvision network ``architecture``: images → logits (batch, num_classes).

    ``weights`` names published weights (such as DEFAULT or IMAGENET1K_V1), which are downloaded;
    null initialises randomly. With weights, the last layer is replaced if the number of classes
    differs, and images without three channels go through a first convolution whose kernels are
    the published ones summed over red, green and blue.

    Raises ConfigError for an unknown name and for weights that cannot be had.

    Source: https://docs.pytorch.org/vision/stable/models.html
    """
    from torchvision import models

    names = models.list_models(module=models)
    if architecture not in names:
        hint = nearest(architecture, names)
        raise ConfigError("model.architecture", architecture, "a torchvision classifier", hint)
    published = list(models.get_model_weights(architecture).__members__)
    if weights is not None and weights not in published:
        raise UnknownError("model.weights", weights, ["null", *published])
    model = _build(architecture, weights, input_shape, num_classes)
    if weights is not None:
        _fit_classes(model, num_classes)
    if input_shape[0] != 3:
        _fit_channels(model, input_shape[0], pretrained=weights is not None)
    return _plain(model)


def _build(
    architecture: str, weights: str | None, input_shape: tuple[int, int, int], num_classes: int
) -> nn.Module:
    from torchvision import models

    settings: dict[str, Any] = {"weights": weights} if weights else {"num_classes": num_classes}
    # Vision transformers learn one vector for each place, so they are built for one image size.
    if architecture.startswith("vit_"):
        settings["image_size"] = input_shape[1]
    try:
        return models.get_model(architecture, **settings)
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())
        if weights is None:
            fits = f"a network for {'x'.join(map(str, input_shape))} images"
            raise ConfigError("model.architecture", architecture, fits, reason) from error
        reachable = "weights that can be downloaded (or null) and fit the images"
        raise ConfigError("model.weights", weights, reachable, reason) from error


def _fit_classes(model: nn.Module, num_classes: int) -> None:
    """Replace the last layer if the published one has another number of classes."""
    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    name, last = layers[-1]
    if isinstance(last, nn.Linear) and last.out_features != num_classes:
        model.set_submodule(name, nn.Linear(last.in_features, num_classes))
    elif isinstance(last, nn.Conv2d) and last.out_channels != num_classes:
        model.set_submodule(name, nn.Conv2d(last.in_channels, num_classes, 1))


def _fit_channels(model: nn.Module, channels: int, pretrained: bool) -> None:
    """Replace the first convolution, which reads RGB, by one for ``channels``."""
    name, first = next((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    new = nn.Conv2d(
        channels,
        first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]
        first.stride,  # type: ignore[arg-type]
        first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    if pretrained:
        with torch.no_grad():
            new.weight.copy_(first.weight.sum(1, keepdim=True) / channels)
            if new.bias is not None and first.bias is not None:
                new.bias.copy_(first.bias)
    model.set_submodule(name, new)
    if hasattr(model, "transform_input"):
        # It would re-normalise red, green and blue.
        model.transform_input = False  # type: ignore[assignment]


def _plain(model: nn.Module) -> nn.Module:
    """Return logits only and make activations out-of-place, so that hooks can read their inputs."""
    if hasattr(model, "aux_logits"):
        model.aux_logits = False  # type: ignore[assignment]
        for name in {"aux1", "aux2", "AuxLogits"} & set(model._modules):
            setattr(model, name, None)
    return out_of_place(model)


def out_of_place(model: nn.Module) -> nn.Module:
    """The network whose activations leave their inputs as they are."""
    for module in model.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]
    return model
