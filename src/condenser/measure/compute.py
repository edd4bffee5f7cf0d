"""How much arithmetic one image costs: multiply-accumulates, and those on a non-zero weight."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from condenser.capture.conditions import device_of, evaluating

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
    skipped: list[int] = []
    counter = FlopCounterMode(display=False)
    with evaluating(model), _counted_attention(), _skipped_macs(model, skipped), counter:
        model(example.to(device_of(model)))
    macs = counter.get_total_flops() // 2
    return {"macs": macs, "nonzero_macs": macs - sum(skipped)}


@contextmanager
def _skipped_macs(model: nn.Module, skipped: list[int]) -> Iterator[None]:
    """Append, for every call of a weighted layer, the MACs that meet a zero of its weight."""

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        met = inputs[0] if isinstance(layer, TRANSPOSED) else output
        positions = met.numel() // weight.shape[0]
        skipped.append(positions * int((weight == 0).sum()))

    with ExitStack() as stack:
        for layer in model.modules():
            if isinstance(layer, WEIGHTED):
                stack.enter_context(layer.register_forward_hook(note))
        yield


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
