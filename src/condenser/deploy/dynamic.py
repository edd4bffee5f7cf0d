"""A float ONNX graph with matrices in int8, their inputs rounded as they come."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from condenser.deploy.graph import prepared
from condenser.errors import ConfigError

MATRICES = ["MatMul", "Gemm"]


def to_dynamic_onnx(float_path: Path, path: Path) -> None:
    """Write the graph with the weights of its matrix products in int8, per output channel.

    The range of what they are multiplied with is taken anew from every batch, so that nothing is
    calibrated. Best for transformers, whose activations have a few very large values; convolutions
    stay in float, since rounding their inputs so costs more than it saves.

    Raises:
        ConfigError: there is no matrix product with a weight.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

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
