"""Export to an ONNX graph in float32."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from condenser.compress.quantization import (
    InputQuantizer,
    quantize_input,
    quantize_output,
    unhook,
)
from condenser.deploy.export_errors import refusing

INPUT, IDS, OUTPUT = "image", "ids", "logits"


def to_onnx(model: nn.Module, example: Tensor, path: Path) -> None:
    """Write ``model`` as an ONNX graph in float32, any batch size, and any length of token ids.

    Args:
        example: (n, C, H, W) normalised images, or others of the network's inputs.

    Raises:
        CondenserError: the export failed; names the layer if it is known.
    """
    program(model, example).save(str(path))
    strip(path)


def program(model: nn.Module, example: Tensor) -> Any:
    """The ONNX program as torch exports it."""
    plain = without_input_quantizers(model).cpu().eval()
    images = pair(example)
    names, varying = form_of(images)
    with refusing("ONNX export", plain, images), quiet():
        return torch.onnx.export(
            plain,
            (images,),
            dynamo=True,
            input_names=[names],
            output_names=[OUTPUT],
            dynamic_shapes=(dict.fromkeys(varying, torch.export.Dim.DYNAMIC),),
            external_data=False,
            verbose=False,
        )


def pair(example: Tensor) -> Tensor:
    """Two of the images, copied.

    A slice would drag its whole storage into the file, and a batch of 1 would be burnt in.
    """
    return example[:2].cpu().repeat(2, *[1] * (example.ndim - 1))[:2].clone()


def form_of(example: Tensor) -> tuple[str, list[int]]:
    """The input's name, and its axes of any size: the batch, and of token ids the length."""
    if example.dtype != torch.int64:
        return INPUT, [0]
    return IDS, [0, example.ndim - 1] if example.shape[-1] > 1 else [0]


def without_input_quantizers(model: nn.Module) -> nn.Module:
    """A copy without activation quantisation."""
    plain = copy.deepcopy(model)
    for module in plain.modules():
        for name in ("input_quantizer", "output_quantizer"):
            if isinstance(getattr(module, name, None), InputQuantizer):
                delattr(module, name)
                unhook(module, quantize_input, quantize_output)
    return plain


def strip(path: Path) -> None:
    """Remove the exporter's notes, source lines and paths of this machine: a third of the file."""
    model = onnx.load(path)
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(model, path)


def graph_bytes(path: Path) -> int:
    """Bytes of the file that are not weights: nodes, names, shapes."""
    graph = onnx.load(path)
    weights = sum(len(tensor.SerializeToString()) for tensor in graph.graph.initializer)
    return path.stat().st_size - weights


@contextlib.contextmanager
def prepared(float_path: Path, path: Path) -> Iterator[Path]:
    """The graph with inferred shapes, as onnxruntime's quantisers need it: a temporary file.

    They are quiet, too.
    """
    made = path.with_suffix(".prepared.onnx")
    try:
        with quiet():
            try:
                quant_pre_process(str(float_path), str(made))
            except Exception:  # its symbolic inference trips over masks; onnx's own suffices
                quant_pre_process(str(float_path), str(made), skip_symbolic_shape=True)
            yield made
    finally:
        made.unlink(missing_ok=True)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporters' output; errors still raise."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(level)
