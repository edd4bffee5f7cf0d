"""Kernels: the weights from one input channel to one output channel."""

from __future__ import annotations

from torch import Tensor

from condenser.compress.masks.granularity.base import Granularity


class Kernel(Granularity):
    """Groups of one (output, input) pair: a convolution's h × w kernel, a linear layer's weight.

    Source: Mao, Han, Pool, Li, Liu, Wang, Dally, "Exploring the Regularity of Sparse Structure in
    Convolutional Neural Networks", 2017, https://arxiv.org/abs/1705.08922
    """

    def spans(self, weight: Tensor) -> tuple[int, ...]:
        return tuple(range(2, weight.ndim))
