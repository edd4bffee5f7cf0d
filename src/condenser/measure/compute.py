"""Multiply-accumulates per image, and those with a non-zero weight."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from condenser.capture import device_of, evaluating, watching

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)


def compute(model: nn.Module, example: Tensor) -> dict[str, int]:
    """Multiply-accumulates of one image.

    macs: of convolutions and matrix products (attention included, biases, normalisation and
    activations not), read from the graph as it runs: a channel that was cut out is not counted, a
    weight set to zero is. nonzero_macs: macs - Σ positions · zeros(weight) over Linear and Conv
    layers, where positions are the outputs (inputs, if transposed) a weight meets in one channel;
    weights that a layer does not apply in its own forward (attention's) count as dense.

    example: (1, C, H, W). Raises: ValueError when it holds more than one image.
    Equals torchvision's published GMACs: pytorch.org/vision/stable/models.html.
    """
    if len(example) != 1:
        raise ValueError(f"example of {len(example)} images: must be 1, shape (1, C, H, W)")
    skipped = 0

    def note(_: str, layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Count the multiply-accumulates that meet a zero of the weight."""
        nonlocal skipped
        met = inputs[0] if isinstance(layer, TRANSPOSED) else output
        skipped += met.numel() // layer.weight.shape[0] * int((layer.weight == 0).sum())

    counter = FlopCounterMode(display=False)
    weighted = [name for name, layer in model.named_modules() if isinstance(layer, WEIGHTED)]
    with (
        evaluating(model),
        watching(model, weighted, note),
        _counted_attention(),
        _counted_recurrence(),
        counter,
    ):
        model(example.to(device_of(model)))
    macs = counter.get_total_flops() // 2
    return {"macs": macs, "nonzero_macs": macs - skipped}


@contextmanager
def _counted_recurrence() -> Iterator[None]:
    """Recurrent layers as plain matrix products: oneDNN's hide theirs from the counter."""
    known = torch.backends.mkldnn
    before = known.is_available() and torch._C._get_mkldnn_enabled()
    known.set_flags(_enabled=False, _fp32_precision=None)
    try:
        yield
    finally:
        known.set_flags(_enabled=before, _fp32_precision=None)


@contextmanager
def _counted_attention() -> Iterator[None]:
    """Attention as plain matrix products: fused kernels hide theirs from the counter."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
