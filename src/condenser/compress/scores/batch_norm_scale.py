"""What the batch norm after a convolution makes of its channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from condenser.compress.scores.base import Criterion
from condenser.errors import ConfigError


class BatchNormScale(Criterion):
    """|γ| / n of the batch norm that reads the output channel; n weights make the channel, so that
    a filter's score is |γ|.

    A convolution that no batch norm alone reads, and every other layer, is left alone: it is
    neither pruned nor counted in the rate. Networks that torch.fx cannot trace have none to rank.

    Source: Liu, Li, Shen, Huang, Yan, Zhang, "Learning Efficient Convolutional Networks through
    Network Slimming", 2017, https://arxiv.org/abs/1708.06519
    """

    def select(self, model: nn.Module, layers: Sequence[str]) -> list[str]:
        from condenser.compress.quantization import foldable

        norms: dict[str, Any] = {c: model.get_submodule(norm) for c, norm in foldable(model)}
        self.norms = {name: norm for name, norm in norms.items() if norm.affine}
        if found := [name for name in layers if name in self.norms]:
            return found
        allowed = f"another criterion for {type(model).__name__}, where no batch norm reads a layer"
        raise ConfigError("prune.criterion", type(self).__name__, allowed)

    def __call__(self, name: str, weight: nn.Parameter) -> Tensor:
        share = self.norms[name].weight.detach().abs() / weight[0].numel()
        return share.view(-1, *[1] * (weight.ndim - 1)).expand_as(weight)
