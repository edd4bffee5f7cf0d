"""Export to an ExecuTorch program for XNNPACK: phones and small ARM boards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from condenser.capture import evaluating, watching
from condenser.compress.quantization import Quantized
from condenser.deploy.coded import grid_of
from condenser.deploy.export_errors import refusing
from condenser.deploy.graph import quiet, without_input_quantizers
from condenser.deploy.io_quantization import Normalisation, pixel_constants
from condenser.deploy.runtimes import LAYOUT
from condenser.errors import CondenserError

WHAT = "ExecuTorch export"


class Pixels(nn.Module):
    """A network that takes raw uint8 images and normalises them itself."""

    shift: Tensor
    factor: Tensor

    def __init__(self, network: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.network = network
        shift, factor = map(torch.from_numpy, pixel_constants(normalisation))
        self.register_buffer("shift", shift)
        self.register_buffer("factor", factor)

    def forward(self, image: Tensor) -> Tensor:
        return self.network((image.to(torch.float32) - self.shift) * self.factor)


class ChannelsLast(nn.Module):
    """A network that takes images (n, H, W, C)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return self.network(image.permute(0, 3, 1, 2))


def to_executorch(
    model: nn.Module,
    images: Tensor,
    path: Path,
    operation: Quantized | None = None,
    normalisation: Normalisation | None = None,
    nhwc: bool = False,
) -> None:
    """Export ``model`` for batch size 1, as the runtime plans its memory ahead.

    If it was quantised by ``operation``, layers use its scales and zero points; everything between
    them is calibrated here, since XNNPACK needs every operator's output quantised, even where the
    network's is not.

    Args:
        images: (n, C, H, W) normalised training images.
        normalisation: built into the program, which then takes uint8 images.
        nhwc: it takes images (n, H, W, C).

    Raises:
        CondenserError: the export failed.
    """
    plain = without_input_quantizers(model).cpu().eval()
    one = images[:1].cpu().clone()
    with refusing(WHAT, plain, images[:2].cpu()), quiet(), torch.no_grad():
        if operation is not None:
            plain = quantized(plain, model, operation, images.cpu())
        if normalisation is not None:
            plain, one = Pixels(plain, normalisation), one.to(torch.uint8)
        if nhwc:
            plain, one = ChannelsLast(plain), one.permute(0, 2, 3, 1).contiguous()
        path.write_bytes(lowered(torch.export.export(plain, (one,)), {LAYOUT: 1} if nhwc else {}))


def traced(model: nn.Module, one: Tensor) -> None:
    """Trace for one image; CondenserError if torch cannot."""
    with refusing(WHAT, model, one.repeat(2, *[1] * (one.ndim - 1))), quiet(), torch.no_grad():
        torch.export.export(model, (one,))


def lowered(program: Any, constants: dict[str, int]) -> bytes:
    """The program's bytes, with everything XNNPACK supports delegated to it.

    ``constants`` are methods of the program that return a number.
    """
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    edge = to_edge_transform_and_lower(
        program, partitioner=[XnnpackPartitioner()], constant_methods=constants
    )
    return edge.to_executorch().buffer


def quantized(
    plain: nn.Module, model: nn.Module, operation: Quantized, images: Tensor
) -> nn.Module:
    """The network with XNNPACK's quantised operators, activations in int8."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import get_module_name_filter

    refuse_repeats(plain, operation.layers, images[:1])
    config = get_symmetric_quantization_config(is_per_channel=True)
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d)
    layers = [name for name, layer in plain.named_modules() if isinstance(layer, kinds)]
    left = [get_module_name_filter(name) for name in layers if name not in operation.layers]
    quantizer = XNNPACKQuantizer()
    quantizer.set_filter_function(lambda node: not any(within(node) for within in left))
    program = torch.export.export(plain, (images[:1].clone(),)).module()
    watched = prepare_pt2e(program, quantizer.set_global(config))
    for image in images[:256].split(1):
        watched(image)
    take_ranges(watched, model, operation)
    return convert_pt2e(watched)


def refuse_repeats(model: nn.Module, layers: Sequence[str], image: Tensor) -> None:
    """CondenserError for convolutions whose weight is used more than once, which XNNPACK writes in
    int8 and then does not load."""
    calls: Counter[int] = Counter()
    modules = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv1d | nn.Conv2d)}

    def note(_: str, layer: Any, *__: object) -> None:
        calls.update([id(layer.weight)])

    with evaluating(model), watching(model, modules, note):
        model(image)
    often = [n for n, m in modules.items() if n in layers and calls[id(m.weight)] > 1]
    if often:
        raise CondenserError(
            f"{', '.join(often)}: a convolution that is called more than once cannot be int8 for "
            "ExecuTorch; name it in quantize.exclude, or give each call a layer of its own"
        )


def take_ranges(watched: Any, model: nn.Module, operation: Quantized) -> None:
    """Make each quantised layer's observers return the network's own scales."""
    for node in watched.graph.nodes:
        if len(node.args) < 2 or not all(is_observer(watched, arg) for arg in node.args[:2]):
            continue
        inputs, weights = (watched.get_submodule(arg.target) for arg in node.args[:2])
        source = node.args[1].args[0]
        layer = str(source.target).removesuffix(".weight") if source.op == "get_attr" else ""
        if layer in operation.layers:
            quantizer: Any = model.get_submodule(f"{layer}.input_quantizer")
            # Codes of 0 … 255 are -128 … 127 here.
            answer(inputs, quantizer.scale.reshape(1), quantizer.zero_point.reshape(1) - 128)
            _, scale, _ = grid_of(model.get_submodule(layer), operation.affine)
            answer(weights, scale, torch.zeros_like(scale))


def is_observer(watched: nn.Module, arg: Any) -> bool:
    name = getattr(arg, "target", None)
    return getattr(arg, "op", "") == "call_module" and hasattr(
        watched.get_submodule(str(name)), "calculate_qparams"
    )


def answer(observer: Any, scale: Tensor, zero_point: Tensor) -> None:
    observer.calculate_qparams = lambda *_: (scale.cpu(), zero_point.long().cpu())
