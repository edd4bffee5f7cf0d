"""Sparsity penalties for sparse training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from condenser.compress.masks.granularity.base import output_layer
from condenser.compress.masks.sparse import prunable
from condenser.compress.patterns import matches
from condenser.functional.proximal import group_soft_threshold, soft_threshold


class Penalty(ABC):
    """A sum over parameters that is not smooth at zero, by its proximal step."""

    @abstractmethod
    def parameters(self, model: nn.Module, exclude: Sequence[str]) -> list[nn.Parameter]:
        """Those it weighs on; ``exclude`` holds patterns of layer names."""

    @abstractmethod
    def shrink(self, tensors: list[Tensor], amount: float) -> None:
        """Its proximal step on them, in place."""


class L1(Penalty):
    """Σ |w| over the weights of linear layers and convolutions: single weights become zero.

    Source: Tibshirani, "Regression Shrinkage and Selection via the Lasso", 1996,
    https://doi.org/10.1111/j.2517-6161.1996.tb02080.x
    """

    def parameters(self, model: nn.Module, exclude: Sequence[str]) -> list[nn.Parameter]:
        return list(prunable(model, exclude).values())

    def shrink(self, tensors: list[Tensor], amount: float) -> None:
        soft_threshold(tensors, amount)


class GroupLasso(Penalty):
    """Σ_g √n_g·‖w_g‖₂ over output channels and units: whole ones become zero, those of the last
    layer and of transposed convolutions excepted.

    Source: Wen, Wu, Wang, Chen, Li, "Learning Structured Sparsity in Deep Neural Networks", 2016,
    https://arxiv.org/abs/1608.03665
    """

    def parameters(self, model: nn.Module, exclude: Sequence[str]) -> list[nn.Parameter]:
        last = output_layer(model)
        weights = prunable(model, exclude)
        layers = {name: model.get_submodule(name) for name in weights if name != last}
        return [
            weights[n] for n, layer in layers.items() if not getattr(layer, "transposed", False)
        ]

    def shrink(self, tensors: list[Tensor], amount: float) -> None:
        for tensor in tensors:
            group_soft_threshold(tensor, amount)


class Slimming(Penalty):
    """Σ |γ| over the scales of batch norms: channels fall silent, for ``prune=slimming`` to take.

    Source: Liu, Li, Shen, Huang, Yan, Zhang, "Learning Efficient Convolutional Networks through
    Network Slimming", 2017, https://arxiv.org/abs/1708.06519
    """

    def parameters(self, model: nn.Module, exclude: Sequence[str]) -> list[nn.Parameter]:
        return [
            norm.weight
            for name, norm in model.named_modules()
            if isinstance(norm, nn.modules.batchnorm._BatchNorm)
            and norm.affine
            and not matches(name, exclude)
        ]

    def shrink(self, tensors: list[Tensor], amount: float) -> None:
        soft_threshold(tensors, amount)
