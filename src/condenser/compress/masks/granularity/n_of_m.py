"""N:M sparsity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from condenser.compress.masks.granularity.base import Granularity
from condenser.errors import ConfigError
from condenser.functional.pruning import protect_largest


class NofM(Granularity):
    """At most n non-zero weights among every m that follow each other along the input dimension.

    The n best of each m are safe, and the others go by the schedule; its rate is 1 - n/m. In a
    convolution neighbours are input channels at the same place of the kernel, as in NVIDIA's 2:4
    kernels, which want the weight as (out, h, w, in).

    Args:
        n, m: whole numbers, 0 < n < m.

    Raises:
        ConfigError: n or m out of range; in ``select``, a layer whose inputs m does not divide.

    Source: Mishra, Latorre, Pool, Stosic, Stosic, Venkatesh, Yu, Micikevicius, "Accelerating
    Sparse Deep Neural Networks", 2021, https://arxiv.org/abs/2104.08378
    """

    def __init__(self, n: int = 2, m: int = 4) -> None:
        if not all(isinstance(x, int) and not isinstance(x, bool) for x in (n, m)) or not 0 < n < m:
            allowed = "two whole numbers, 0 < n < m"
            raise ConfigError("prune.granularity.{n,m}", f"{n}:{m}", allowed)
        self.n, self.m, self.rate = n, m, 1 - n / m

    def select(self, model: nn.Module, layers: Sequence[str]) -> list[str]:
        inputs = {name: _inputs(model.get_submodule(name)) for name in layers}
        odd = {name: size for name, size in inputs.items() if size % self.m}
        if odd:
            found = ", ".join(f"{name} has {size}" for name, size in odd.items())
            allowed = f"layers whose inputs {self.m} divides, and {found}"
            hint = f"leave them alone with prune.exclude=[{','.join(odd)}]"
            raise ConfigError("prune.granularity", f"{self.n}:{self.m}", allowed, hint)
        return list(layers)

    def groups(self, layer: nn.Module, scores: Tensor, alive: Tensor) -> Tensor:
        ranked = super().groups(layer, scores, alive).movedim(_input_dim(layer), -1)
        return protect_largest(ranked, self.n, self.m).movedim(-1, _input_dim(layer))


def _input_dim(layer: Any) -> int:
    return 0 if getattr(layer, "transposed", False) else 1


def _inputs(layer: Any) -> int:
    """Inputs to one output."""
    return layer.weight.shape[_input_dim(layer)] // (
        layer.groups if getattr(layer, "transposed", False) else 1
    )
