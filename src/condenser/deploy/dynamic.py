"""Dynamic quantisation of an ONNX graph: int8 matrices, input ranges taken at run time."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

from condenser.deploy.graph import prepared
from condenser.errors import ConfigError

MATRICES = ["MatMul", "Gemm"]


def to_dynamic_onnx(float_path: Path, path: Path) -> None:
    """Quantise the weights of the graph's matrix products to int8, per output channel.

    Input ranges are computed at run time, so nothing is calibrated. Best for transformers, whose
    activations have a few outliers; convolutions stay in float, since quantising their inputs at
    run time costs more than it saves.

    Raises:
        ConfigError: there is no matrix product with a weight.
    """
    with prepared(float_path, path) as graph:
        quantize_dynamic(
            str(graph),
            str(path),
            op_types_to_quantize=MATRICES,
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
    if not any(node.op_type.startswith("DynamicQuantize") for node in onnx.load(path).graph.node):
        raise ConfigError("export.dynamic", True, "false for a network without linear layers")


def matrices(model: nn.Module) -> list[str]:
    """The layers whose weights ``to_dynamic_onnx`` rounds, by name."""
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
