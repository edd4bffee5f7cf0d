"""A quantised network as an ONNX graph: its codes and scales, Q/DQ pairs where it rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from condenser.compress.quantization import Quantized
from condenser.deploy.coded import CODES, coded
from condenser.deploy.graph import to_onnx


def to_quantized_onnx(model: nn.Module, operation: Quantized, images: Tensor, path: Path) -> None:
    """Write the graph of a network that was quantised by ``operation``.

    Everything in it is the simulated network's: codes of weights, scales and zero points, and what
    is rounded. What that leaves in float stays so. Codes of up to 4 bits are stored as int4, two
    in a byte; others as int8; without a sign where weights have a zero point.

    Args:
        images: (n, C, H, W), two or more: what goes in.
    """
    import onnx

    to_onnx(coded(model, operation), images, path)
    graph = onnx.load(path)
    once(graph.graph)
    turned(graph.graph)
    if operation.activation_bits is None:
        narrow(graph, operation)
    for node in bare_zeros(graph.graph, operation):
        del node.input[2]
    unused(graph.graph)
    del graph.graph.value_info[:]  # shapes that an engine finds by itself
    onnx.save(graph, path)


def once(graph: Any) -> None:
    """Let nothing be rounded twice to one grid: codes go on as they are."""
    tensors, makers = constants(graph), {out: node for node in graph.node for out in node.output}
    for node in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        before = makers.get(node.input[0])
        if (
            before is not None
            and before.op_type == "DequantizeLinear"
            and before.input[0] not in tensors
            and all(
                np.array_equal(tensors[a], tensors[b])
                for a, b in zip(before.input[1:], node.input[1:], strict=True)
            )
        ):
            replace(graph, node.output[0], before.input[0])
            graph.node.remove(node)
    unused(graph)


def turned(graph: Any) -> None:
    """Store matrices as they are multiplied: no Transpose between their codes and the product."""
    from onnx import numpy_helper

    tensors, makers = constants(graph), {out: node for node in graph.node for out in node.output}
    for node in [node for node in graph.node if node.op_type == "Transpose"]:
        source = makers.get(node.input[0])
        if source is None or source.input[0] not in tensors or tensors[source.input[0]].ndim != 2:
            continue
        (held,) = (tensor for tensor in graph.initializer if tensor.name == source.input[0])
        held.CopyFrom(numpy_helper.from_array(tensors[held.name].T.copy(), held.name))
        (axis,) = (attribute for attribute in source.attribute if attribute.name == "axis")
        axis.i = 1
        replace(graph, node.output[0], source.output[0])
        graph.node.remove(node)


def narrow(graph: Any, operation: Quantized) -> None:
    """Codes in as few bits as there are types for."""
    from onnx import TensorProto

    kinds = {
        (True, False): TensorProto.INT4,
        (False, False): TensorProto.INT8,
        (True, True): TensorProto.UINT4,
        (False, True): TensorProto.UINT8,
    }
    tensors = constants(graph.graph)
    for node in graph.graph.node:
        layer = node.input[0].rpartition(".")[0] if node.op_type == "DequantizeLinear" else ""
        if not node.input[0].endswith(CODES) or layer not in operation.layers:
            continue
        kind = kinds[operation.bits_of(layer)[0] <= 4, operation.affine]
        for name in [node.input[0], *node.input[2:]]:
            (held,) = (tensor for tensor in graph.graph.initializer if tensor.name == name)
            held.CopyFrom(codes_tensor(name, tensors[name], kind))
    for opset in graph.opset_import:
        if opset.domain == "":
            opset.version = max(opset.version, 21)  # the first with int4


def bare_zeros(graph: Any, operation: Quantized) -> list[Any]:
    """The nodes whose zero points are zero and may be left out.

    Those of weights may not where activations are rounded: onnxruntime would not see the product.
    """
    tensors = constants(graph)
    return [
        node
        for node in graph.node
        if node.op_type == "DequantizeLinear"
        and node.input[0] in tensors
        and not tensors[node.input[2]].any()
        and (operation.activation_bits is None or tensors[node.input[0]].dtype == np.int32)
    ]


def constants(graph: Any) -> dict[str, np.ndarray]:
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def replace(graph: Any, name: str, by: str) -> None:
    """Let everyone read another tensor."""
    for node in graph.node:
        for place, read in enumerate(node.input):
            if read == name:
                node.input[place] = by


def unused(graph: Any) -> None:
    """Take away what nothing reads."""
    while True:
        read = {name for node in graph.node for name in node.input}
        read |= {out.name for out in graph.output}
        dead = [node for node in graph.node if not read.intersection(node.output)]
        for node in dead:
            graph.node.remove(node)
        if not dead:
            break
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)


def codes_tensor(name: str, codes: np.ndarray, kind: int) -> Any:
    """Integer codes as an ONNX initializer, those of 4 bits two in a byte, low half first."""
    from onnx import TensorProto, helper

    signed = kind in (TensorProto.INT4, TensorProto.INT8)
    data = codes.reshape(-1).astype(np.int8 if signed else np.uint8)
    if kind in (TensorProto.INT4, TensorProto.UINT4):
        data = np.append(data, np.zeros(data.size % 2, data.dtype)).astype(np.uint8) & 0xF
        data = data[0::2] | (data[1::2] << 4)
    return helper.make_tensor(name, kind, codes.shape, data.tobytes(), raw=True)
