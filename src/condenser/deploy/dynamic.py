"""A float ONNX graph with matrices in int8, their inputs rounded as they come."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from condenser.deploy.graph import quiet
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
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = path.with_suffix(".prepared.onnx")
    with quiet():
        quant_pre_process(str(float_path), str(prepared))
        quantize_dynamic(
            str(prepared),
            str(path),
            op_types_to_quantize=MATRICES,
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
    prepared.unlink()
    if not any(node.op_type.startswith("DynamicQuantize") for node in onnx.load(path).graph.node):
        raise ConfigError("export.dynamic", True, "false for a network without linear layers")


def matrices(model: nn.Module) -> list[str]:
    """The layers whose weights ``to_dynamic_onnx`` rounds, by name."""
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
