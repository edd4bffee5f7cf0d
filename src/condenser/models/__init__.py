"""Networks of the papers, and torchvision's, timm's and transformers' by name: images → logits.

A network is a class or function that is called as
``target(input_shape=(channels, height, width), num_classes=n, **settings)``; a file in conf/model
names it as ``_target_``. A new file in this folder needs no entry here: its full path will do.
Where inputs are no images ``input_shape`` has another rank (such a network annotates it as
``tuple[int, ...]``), and one of token ids takes ``vocab_size``. A network from outside the package
gets the arguments of these three that it accepts, and may return a tuple or an object with
``logits``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from condenser.errors import ConfigError, NoSuchKeyError, UnknownError
from condenser.models._adapted import adapted
from condenser.models.bag import BagOfEmbeddings
from condenser.models.bc_resnet import BCResNet
from condenser.models.bilstm import BiLSTM
from condenser.models.causal import CausalTransformer
from condenser.models.ds_cnn import DSCNN
from condenser.models.lenet import LeNet5
from condenser.models.mlp import MLP
from condenser.models.mobilenet import MobileNetV2
from condenser.models.recommendation import MatrixFactorization, NeuMF, SASRec, TwoTowers
from condenser.models.resnet import ResNet
from condenser.models.separable import Separable
from condenser.models.shufflenet import ShuffleNetV1
from condenser.models.shufflenet_v2 import ShuffleNetV2
from condenser.models.tc_resnet import TCResNet
from condenser.models.text_cnn import TextCNN
from condenser.models.text_transformer import TextTransformer
from condenser.models.timm_zoo import timm_model
from condenser.models.torchvision_zoo import torchvision_model
from condenser.models.transformers_zoo import transformers_model
from condenser.models.translator import Translator
from condenser.models.vgg import VGG
from condenser.models.wrn import WideResNet
from condenser.outside import trust

__all__ = [
    "DSCNN",
    "MLP",
    "VGG",
    "BCResNet",
    "BagOfEmbeddings",
    "BiLSTM",
    "CausalTransformer",
    "LeNet5",
    "MatrixFactorization",
    "MobileNetV2",
    "NeuMF",
    "ResNet",
    "SASRec",
    "Separable",
    "ShuffleNetV1",
    "ShuffleNetV2",
    "TCResNet",
    "TextCNN",
    "TextTransformer",
    "Translator",
    "TwoTowers",
    "WideResNet",
    "build",
    "timm_model",
    "torchvision_model",
    "transformers_model",
]

LIBRARIES = ("torchvision_model", "timm_model", "transformers_model")  # whose code is others'
GIVEN = ("input_shape", "num_classes", "vocab_size")
IMAGES = "tuple[int, int, int]"  # the annotation of an input_shape that is an image's


def build(
    architecture: Mapping[str, Any],
    input_shape: tuple[int, ...],
    num_classes: int,
    trusted: Sequence[str] = (),
    vocab_size: int | None = None,
) -> nn.Module:
    """Build the network that ``architecture`` describes: ``_target_``, ``name``, settings.

    ``vocab_size`` is given where the inputs are token ids.

    A description can come from a stored file, which must not be able to run arbitrary code:
    only networks of this package and of conf/model are called, and what is in ``trusted``, by its
    dotted path or its package (the config of the run that the user typed puts its own there).

    Raises ConfigError for a target that is not allowed or does not exist, for settings that it does
    not take, and for one of ours that takes other inputs.
    """
    path = str(architecture.get("_target_", ""))
    target = _network(path, trusted)
    settings = {k: v for k, v in architecture.items() if k not in ("_target_", "name")}
    _check_settings(path, target, settings)
    _check_inputs(path, target, input_shape, vocab_size)
    known = {"input_shape": tuple(input_shape), "num_classes": num_classes}
    given = _taken(target, known | ({} if vocab_size is None else {"vocab_size": vocab_size}))
    try:
        model = target(**given, **settings)
    except TypeError as error:
        if path in trusted:  # the user's own code: a traceback tells more than a sentence
            raise
        kinds = f"settings of the types that {path} takes"
        raise ConfigError("model", settings, kinds, str(error)) from error
    if not isinstance(model, nn.Module):
        raise ConfigError("model._target_", path, "a network (nn.Module, or a function giving one)")
    return adapted(model, input_shape, vocab_size) if outside(path) else model


def outside(target: str) -> bool:
    """Whether this dotted path lies outside this package."""
    return not target.startswith(f"{__name__}.")


def _network(path: str, trusted: Sequence[str]) -> Callable[..., Any]:
    """The class or function at this dotted path, if a stored file may name it."""
    try:
        found: Callable[..., Any] = trust.find(path, trusted, ("models",), trust.CONF / "model")
        return found
    except trust.Distrusted as error:
        if not path.startswith(f"{__name__}."):
            allowed = f"a network of {__name__}, or one that you name"
            raise ConfigError("model._target_", path or "null", allowed, str(error)) from error
        names = [f"{__name__}.{name}" for name in __all__ if name != "build"]
        raise UnknownError("model._target_", path, names) from error


def _taken(target: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The standard arguments that this network accepts."""
    if getattr(target, "__init__", None) is nn.Module.__init__:
        return {}
    parameters = inspect.signature(target).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return dict(given)
    return {name: value for name, value in given.items() if name in parameters}


def _check_inputs(
    path: str, target: Callable[..., Any], shape: tuple[int, ...], vocab_size: int | None
) -> None:
    """ConfigError for a network of ours that takes other inputs than the data's."""
    parameters, key = inspect.signature(target).parameters, "model._target_"
    if "vocab_size" in parameters:
        if vocab_size is None and parameters["vocab_size"].default is inspect.Parameter.empty:
            raise ConfigError(key, path, "a network of images or numbers: this takes token ids")
    elif vocab_size is not None and not outside(path):
        raise ConfigError(key, path, "a network of token ids, which takes vocab_size")
    takes = getattr(parameters.get("input_shape"), "annotation", None)
    if takes == IMAGES and len(shape) != 3 and not outside(path) and vocab_size is None:
        side = "x".join(map(str, shape))
        raise ConfigError(key, path, f"a network of inputs of {side}: this takes images")


def _check_settings(path: str, target: Callable[..., Any], settings: Mapping[str, Any]) -> None:
    parameters = inspect.signature(target).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    own = {name: p for name, p in parameters.items() if name not in GIVEN}
    for name in settings:
        if name not in own:
            what = "no such key" if own else f"{path} takes no settings"
            raise NoSuchKeyError(f"model.{name}", own, what)
    for name, parameter in own.items():
        if parameter.default is parameter.empty and name not in settings:
            raise ConfigError(f"model.{name}", "null", f"a value: {path} needs this setting")
