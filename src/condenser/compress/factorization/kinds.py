"""Factorisations of a layer, by the name stored in an operation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from condenser.functional.low_rank import (
    kept_energy,
    separable,
    truncated_svd,
    tucker2,
    tucker2_energy,
    unfold_separable,
    whitening,
)

Layer = nn.Linear | nn.Conv2d


class Positions(NamedTuple):
    """How many positions an image a factor is applied at; all 1 where parameters are counted.

    ``between``: after the rows of a map have been strided over, before its columns have.
    """

    input: int = 1
    between: int = 1
    output: int = 1


ONCE = Positions()


class Kind(Protocol):
    """A shape of factors. Weights are seen as (out, in, height, width); a Linear's has 1×1."""

    def kept(self, weight: Tensor, moment: Tensor | None = None) -> Tensor:
        """The share of energy that ranks keep: one dimension a rank, index r - 1."""

    def cost(self, shape: Sequence[int], ranks: Sequence[Any], sites: Positions) -> Any:
        """Weights, or multiply-accumulates an image, of the factors; ranks may be tensors."""

    def stand_in(self, layer: Layer, ranks: Sequence[int]) -> nn.Sequential:
        """Layers of these ranks that take what ``layer`` takes and give what it gives."""

    def factors(
        self, weight: Tensor, ranks: Sequence[int], moment: Tensor | None = None
    ) -> list[Tensor]:
        """The stand-in's weights in the order of its layers."""


class Svd:
    """W ≈ U V over (out, in · h · w): the layer with r outputs, then r → out at every position.

    With ``moment``, the inputs' Σ x xᵀ, the rank-r pair that is nearest in what the layer gives.
    """

    def kept(self, weight: Tensor, moment: Tensor | None = None) -> Tensor:
        matrix = weight.flatten(1).double()
        return kept_energy(matrix if moment is None else matrix @ whitening(moment)[0])

    def cost(self, shape: Sequence[int], ranks: Sequence[Any], sites: Positions) -> Any:
        outputs, inputs, height, width = shape
        return ranks[0] * (inputs * height * width + outputs) * sites.output

    def stand_in(self, layer: Layer, ranks: Sequence[int]) -> nn.Sequential:
        make = linear if isinstance(layer, nn.Linear) else conv
        first = make(layer, None, ranks[0], BOTH)
        return named(reduce=first, expand=make(layer, ranks[0], None, NEITHER))

    def factors(
        self, weight: Tensor, ranks: Sequence[int], moment: Tensor | None = None
    ) -> list[Tensor]:
        matrix = weight.flatten(1).double()
        if moment is None:
            expand, reduce = truncated_svd(matrix, ranks[0])
        else:
            scale, inverse = whitening(moment)
            expand, reduce = truncated_svd(matrix @ scale, ranks[0])
            reduce = reduce @ inverse
        return [reduce, expand]


class Spatial:
    """k×k → k×1 with r outputs, then 1×k."""

    def kept(self, weight: Tensor, moment: Tensor | None = None) -> Tensor:
        return kept_energy(unfold_separable(weight))

    def cost(self, shape: Sequence[int], ranks: Sequence[Any], sites: Positions) -> Any:
        outputs, inputs, height, width = shape
        return ranks[0] * (inputs * height * sites.between + outputs * width * sites.output)

    def stand_in(self, layer: Layer, ranks: Sequence[int]) -> nn.Sequential:
        first = conv(layer, None, ranks[0], ROWS)
        return named(vertical=first, horizontal=conv(layer, ranks[0], None, COLUMNS))

    def factors(
        self, weight: Tensor, ranks: Sequence[int], moment: Tensor | None = None
    ) -> list[Tensor]:
        return list(separable(weight, ranks[0]))


class Tucker:
    """k×k → 1×1 to r₁ channels, k×k to r₀, 1×1 to all: ranks are [r₀, r₁]."""

    def kept(self, weight: Tensor, moment: Tensor | None = None) -> Tensor:
        return tucker2_energy(weight)

    def cost(self, shape: Sequence[int], ranks: Sequence[Any], sites: Positions) -> Any:
        (outputs, inputs, height, width), (out, inner) = shape, ranks
        core = out * inner * height * width
        return inner * inputs * sites.input + (core + out * outputs) * sites.output

    def stand_in(self, layer: Layer, ranks: Sequence[int]) -> nn.Sequential:
        core = conv(layer, ranks[1], ranks[0], BOTH)
        first, last = conv(layer, None, ranks[1], NEITHER), conv(layer, ranks[0], None, NEITHER)
        return named(reduce=first, core=core, expand=last)

    def factors(
        self, weight: Tensor, ranks: Sequence[int], moment: Tensor | None = None
    ) -> list[Tensor]:
        expand, core, reduce = tucker2(weight, (ranks[0], ranks[1]))
        return [reduce.T, core, expand]


KINDS: dict[str, Kind] = {"svd": Svd(), "spatial": Spatial(), "tucker": Tucker()}

# Which of a kernel's two sides a factor keeps, with its stride, padding and dilation.
BOTH, ROWS, COLUMNS, NEITHER = (True, True), (True, False), (False, True), (False, False)


def named(**parts: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(parts))


def linear(like: Any, inputs: int | None, outputs: int | None, _: tuple[bool, bool]) -> nn.Linear:
    """None: as many as ``like`` has. The factor that gives its outputs has its bias too."""
    weight, bias = like.weight, outputs is None and like.bias is not None
    shape = (inputs or like.in_features, outputs or like.out_features)
    return nn.Linear(*shape, bias=bias, device=weight.device, dtype=weight.dtype)


def conv(like: Any, inputs: int | None, outputs: int | None, sides: tuple[bool, bool]) -> nn.Conv2d:
    """The same for a convolution. A factor without bias maps padding to padding."""

    def part(values: tuple[int, int], neutral: int) -> tuple[int, int]:
        return values[0] if sides[0] else neutral, values[1] if sides[1] else neutral

    return nn.Conv2d(
        inputs or like.in_channels,
        outputs or like.out_channels,
        part(like.kernel_size, 1),
        part(like.stride, 1),
        like.padding if isinstance(like.padding, str) else part(like.padding, 0),
        part(like.dilation, 1),
        bias=outputs is None and like.bias is not None,
        padding_mode=like.padding_mode,
        device=like.weight.device,
        dtype=like.weight.dtype,
    )
