"""Export a network in the requested form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from condenser.compress.quantization import Quantized, folded
from condenser.deploy.description import annotate
from condenser.deploy.dynamic import to_dynamic_onnx
from condenser.deploy.executorch_program import to_executorch, traced
from condenser.deploy.graph import program, to_onnx
from condenser.deploy.io_quantization import Normalisation, channels_last, give_codes, take_pixels
from condenser.deploy.openvino_ir import to_openvino
from condenser.deploy.quantized import to_quantized_onnx

SUFFIX = {"onnx": ".onnx", "openvino": ".xml", "executorch": ".pte"}


@dataclass(frozen=True)
class Form:
    """The form of a deployed file.

    Attributes:
        target: the runtime: one of ``SUFFIX``.
        dynamic: dynamic int8 quantisation of a float network's matrices.
        normalisation: mean and std per channel, built into the graph, which then takes raw uint8
            images; None: it takes normalised float32.
        codes: outputs are uint8 codes of the logits, with their scale in the metadata.
        nhwc: it takes images (n, H, W, C) instead of (n, C, H, W).
    """

    target: str = "onnx"
    dynamic: bool = False
    normalisation: Normalisation | None = None
    codes: bool = False
    nhwc: bool = False


def write(
    model: nn.Module,
    form: Form,
    images: Tensor,
    stem: Path,
    operation: Quantized | None = None,
    notes: Mapping[str, str] | None = None,
) -> Path:
    """Export ``model`` to ``stem`` with the target's suffix; return the file.

    Args:
        images: (n, C, H, W) normalised training images, two or more; for codes of the logits, the
            calibration set of their range.
        operation: that quantised it, if the file is to be in integers too.
        notes: for the file's own metadata, where its format has such.

    Raises:
        CondenserError: it cannot be written.
    """
    path = stem.with_suffix(SUFFIX[form.target])
    model = folded(model, operation) if operation is not None else model
    if form.target == "executorch":
        to_executorch(model, images, path, operation, form.normalisation, form.nhwc)
        return path
    graph = stem.with_suffix(".onnx")
    write_onnx(model, form, images, graph, operation)
    annotate(graph, notes or {})
    if form.target == "openvino":
        to_openvino(graph, path)
        graph.unlink()
    return path


def check(model: nn.Module, form: Form, images: Tensor) -> None:
    """Dry-run the export before training; the weights do not matter.

    Raises:
        CondenserError: it could not be written.
    """
    if form.target == "executorch":
        traced(model.cpu().eval(), images[:1].cpu().clone())
    else:
        program(model, images)


def write_onnx(
    model: nn.Module, form: Form, images: Tensor, path: Path, operation: Quantized | None
) -> None:
    if operation is not None:
        to_quantized_onnx(model, operation, images, path)
    else:
        to_onnx(model, images, path)
    if form.dynamic:
        to_dynamic_onnx(path, path)
    if form.normalisation is not None:
        take_pixels(path, form.normalisation)
    if form.nhwc:
        channels_last(path)
    if form.codes:
        with torch.no_grad():
            logits = model.cpu().eval()(images.cpu())
        give_codes(path, logits.min().item(), logits.max().item())


def files(path: Path) -> list[Path]:
    """All files to ship: the file, and weights beside it."""
    return [path, *(p for p in [path.with_suffix(".bin")] if p.is_file())]


def size(path: Path) -> int:
    """Total bytes of these files."""
    return sum(file.stat().st_size for file in files(path))
