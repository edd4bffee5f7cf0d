"""What the batch norm after a convolution makes of its channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from condenser.compress.base import CalibrationData
from condenser.compress.groups import Group, Slice
from condenser.compress.scores.base import Criterion
from condenser.compress.scores.reduction import Scores, means
from condenser.errors import ConfigError


class BatchNormScale(Criterion):
    """|γ| / n of the batch norm that reads the output channel; n weights make the channel, so that
    a filter's score is |γ|.

    A convolution that no batch norm alone reads, and every other layer, is left alone: it is
    neither pruned nor counted in the rate. Networks that torch.fx cannot trace have none to rank.
    A channel's score is the mean |γ| of all batch norms that it passes.

    Meant for networks trained with an l1 penalty on γ.

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

    def channels(
        self, model: nn.Module, groups: list[Group], calibration: CalibrationData | None
    ) -> Scores:
        scores = {group.name: means(group, scales(model, group)) for group in groups}
        if bare := [name for name, score in scores.items() if score is None]:
            allowed = f"a criterion that needs no batch norm ({', '.join(bare)} has none)"
            raise ConfigError("cut.criterion", "BatchNormScale", allowed, "or exclude these layers")
        return {name: score for name, score in scores.items() if score is not None}


def scales(model: nn.Module, group: Group) -> Iterator[tuple[Slice, Tensor]]:
    """|γ| at each batch norm's places."""
    for part in group.slices:
        layer = model.get_submodule(part.layer)
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.affine:
            yield part, layer.weight.detach().abs().cpu()[part.position]
