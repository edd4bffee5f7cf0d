"""Classifiers and encoders of Hugging Face transformers, for images and for texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from condenser.errors import ConfigError, nearest
from condenser.models.timm_zoo import needed
from condenser.models.torchvision_zoo import out_of_place
from condenser.tasks import PAD

OUTPUTS = ("logits", "embedding")


def transformers_model(
    input_shape: tuple[int, ...],
    num_classes: int,
    architecture: str,
    settings: Mapping[str, Any] | None = None,
    outputs: str = "logits",
    weights: str | None = None,
    vocab_size: int | None = None,
) -> nn.Module:
    """A network of transformers: images or token ids → logits (batch, num_classes).

    Args:
        architecture: a kind of transformers, as ``bert`` or ``vit``; or a name on the hub. (A
            config also takes a folder with a config.json, which it replaces by what is in it.)
        settings: of its config, such as ``num_hidden_layers``.
        outputs: logits of its classifier; or of an encoder of texts the embedding: the mean of the
            last hidden states, ``num_classes`` its width.
        weights: null: random, or as ``teacher.load`` loads them; DEFAULT: those on the hub.

    Images keep their size: a position table is made for it. Of texts the input is
    int64 (batch, length); or (batch, digits, 1, length): tokens of a set of bytes, ids in base 256
    where there are several digits, lowest first. What equals the config's ``pad_token_id`` is
    padding. Of token ids the vocabulary is the data's where ``settings`` say no other.

    Raises ConfigError where transformers is not installed, for a kind that it does not know or
    that classifies neither images nor texts, for a width other than ``num_classes``, and for data
    with longer texts or more ids than the network has places for.

    Source: https://huggingface.co/docs/transformers
    """
    needed("transformers", architecture)
    if outputs not in OUTPUTS:
        raise ConfigError("model.outputs", outputs, "logits or embedding")
    own = dict(settings or {})
    if architecture in known() and vocab_size is not None:
        own = {"vocab_size": vocab_size, "pad_token_id": PAD, **own}
    config = config_of(architecture, own)
    config.num_labels = num_classes
    of_text = type(config) in kinds("SEQUENCE_CLASSIFICATION")
    if of_text:
        sized_for_text(config, architecture, input_shape, vocab_size)
    else:
        sized(config, architecture, input_shape)
    if outputs == "embedding":
        return embedding(config, architecture, weights, num_classes)
    if not of_text and type(config) not in kinds("IMAGE_CLASSIFICATION"):
        allowed = "a kind of transformers that classifies images or texts"
        raise ConfigError("model.architecture", architecture, allowed)
    name = "AutoModelForSequenceClassification" if of_text else "AutoModelForImageClassification"
    network = made(name, config, architecture, weights)
    return Texts(network, config.pad_token_id) if of_text else Images(network)


class Images(nn.Module):
    """Images → logits, from what transformers answers with."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(pixel_values=images).logits
        return logits


class Texts(nn.Module):
    """Token ids → logits."""

    def __init__(self, network: nn.Module, padding: int | None) -> None:
        super().__init__()
        self.network, self.padding = network, padding

    def given(self, tokens: Tensor) -> dict[str, Tensor]:
        """What transformers asks for: ids and the mask of what is no padding, (batch, length)."""
        ids = tokens
        if tokens.ndim == 4:  # digits in base 256, as a set of bytes has them
            digits = tokens.flatten(2).round().long()
            ids = sum(digits[:, n] * 256**n for n in range(digits.shape[1]))  # type: ignore[assignment]
        mask = torch.ones_like(ids) if self.padding is None else (ids != self.padding).long()
        return {"input_ids": ids, "attention_mask": mask}

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.network(**self.given(tokens)).logits
        return logits


class Embedding(Texts):
    """Token ids → the mean of the last hidden states over all that is no padding, of length 1.

    Source: Reimers, Gurevych, "Sentence-BERT", 2019, https://arxiv.org/abs/1908.10084
    """

    def forward(self, tokens: Tensor) -> Tensor:
        given = self.given(tokens)
        mask = given["attention_mask"].unsqueeze(-1)
        hidden: Tensor = self.network(**given).last_hidden_state
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        return nn.functional.normalize(mean, dim=1)


def embedding(config: Any, architecture: str, weights: str | None, num_classes: int) -> nn.Module:
    if config.hidden_size != num_classes:
        allowed = f"logits: the embedding has {config.hidden_size} numbers, the data {num_classes}"
        raise ConfigError("model.outputs", "embedding", allowed)
    return Embedding(made("AutoModel", config, architecture, weights), config.pad_token_id)


def config_of(architecture: str, settings: dict[str, Any]) -> Any:
    """A kind's config with these settings, or the hub's."""
    from transformers import AutoConfig

    try:
        if architecture in known():
            return AutoConfig.for_model(architecture, **settings)
        return AutoConfig.from_pretrained(architecture, trust_remote_code=False, **settings)
    except Exception as error:  # of the hub, or of a setting that makes no sense
        hint = nearest(architecture, known()) or " ".join(str(error).split())[:160]
        allowed = "a kind of transformers, a folder with a config.json, or a name on the hub"
        raise ConfigError("model.architecture", architecture, allowed, hint) from error


def known() -> Any:
    """The kinds of networks, by name."""
    from transformers import CONFIG_MAPPING

    return CONFIG_MAPPING


def kinds(task: str) -> Any:
    """The configs that have a network for a task."""
    import transformers

    return getattr(transformers, f"MODEL_FOR_{task}_MAPPING")


def sized_for_text(
    config: Any, architecture: str, shape: tuple[int, ...], vocab_size: int | None
) -> None:
    """ConfigError for data with longer texts, or ids that have no embedding."""
    if vocab_size is None:
        return
    places, ids = getattr(config, "max_position_embeddings", None), config.vocab_size
    if vocab_size > ids:
        allowed = f"a network of {vocab_size} token ids, those of the data; it has {ids}"
        raise ConfigError("model.architecture", architecture, allowed)
    if places is not None and 0 < places < shape[-1]:
        allowed = f"a network of {shape[-1]} places, the longest text; its position table has"
        raise ConfigError("model.architecture", architecture, f"{allowed} {places}")


def sized(config: Any, architecture: str, input_shape: tuple[int, ...]) -> None:
    """Fit the config of a network of images to those of the data."""
    if len(input_shape) != 3:
        allowed = f"a network of inputs of {'x'.join(map(str, input_shape))}: this takes images"
        raise ConfigError("model.architecture", architecture, allowed)
    channels, height, width = input_shape
    if hasattr(config, "num_channels"):
        config.num_channels = channels
    if hasattr(config, "image_size"):
        config.image_size = height if height == width else (height, width)


def made(name: str, config: Any, architecture: str, weights: str | None) -> nn.Module:
    """The network with random or published weights, attention written out so that it exports."""
    import transformers

    auto = getattr(transformers, name)
    try:
        if weights is None:
            network = auto.from_config(config, attn_implementation="eager")
        else:
            network = auto.from_pretrained(
                architecture,
                config=config,
                ignore_mismatched_sizes=True,
                trust_remote_code=False,
                attn_implementation="eager",
            )
    except Exception as error:
        key, value = ("weights", weights) if weights else ("architecture", architecture)
        allowed = "weights that can be had (or null)" if weights else "a network of these settings"
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(f"model.{key}", value, allowed, reason) from error
    return out_of_place(network.float())
