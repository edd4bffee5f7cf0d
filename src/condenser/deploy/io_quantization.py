"""Inputs and outputs of an ONNX graph: raw pixels in, channels last, integer logits out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from condenser.deploy.graph import INPUT, OUTPUT
from condenser.deploy.runtimes import LAYOUT, SCALE, ZERO

Normalisation = tuple[Sequence[float], Sequence[float]]


def pixel_constants(normalisation: Normalisation) -> tuple[np.ndarray, np.ndarray]:
    """Shift and factor, float32 (C, 1, 1), of (x - shift) · factor for pixels x of 0 … 255.

    Rounds as the data's own normalisation does, so the inputs are identical.
    """
    mean, std = (np.array(values, np.float64).reshape(-1, 1, 1) for values in normalisation)
    return (255 * mean).astype(np.float32), (1 / (255 * std)).astype(np.float32)


def take_pixels(path: Path, normalisation: Normalisation) -> None:
    """Make the graph take raw uint8 images and normalise them itself."""
    model = onnx.load(path)
    graph = model.graph
    (image,) = graph.input
    inner = f"{INPUT}.normalised"
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == INPUT:
                node.input[place] = inner
    names = f"{INPUT}.shift", f"{INPUT}.factor"
    for name, values in zip(names, pixel_constants(normalisation), strict=True):
        graph.initializer.append(numpy_helper.from_array(values, name))
    steps = [
        helper.make_node("Cast", [INPUT], [f"{INPUT}.float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", [f"{INPUT}.float", names[0]], [f"{INPUT}.shifted"]),
        helper.make_node("Mul", [f"{INPUT}.shifted", names[1]], [inner]),
    ]
    for step in reversed(steps):
        graph.node.insert(0, step)
    image.type.tensor_type.elem_type = TensorProto.UINT8
    onnx.save(model, path)


def channels_last(path: Path) -> None:
    """Make the graph take images (n, H, W, C)."""
    model = onnx.load(path)
    graph, inner = model.graph, f"{INPUT}.nchw"
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == INPUT:
                node.input[place] = inner
    graph.node.insert(0, helper.make_node("Transpose", [INPUT], [inner], perm=[0, 3, 1, 2]))
    dims = graph.input[0].type.tensor_type.shape.dim
    channels, height, width = (dims[place].dim_value for place in (1, 2, 3))
    for place, side in enumerate((height, width, channels), start=1):
        dims[place].dim_value = side
    entry = model.metadata_props.add()
    entry.key, entry.value = LAYOUT, "NHWC"
    onnx.save(model, path)


def give_codes(path: Path, low: float, high: float) -> None:
    """Make the graph output uint8 codes: logits = scale · (code - zero point).

    A graph that ends in a DequantizeLinear of uint8 loses it, and nothing else changes; another
    gets a QuantizeLinear for logits from ``low`` to ``high``. Scale and zero point are noted in
    the file's metadata.
    """
    model = onnx.load(path)
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    (last,) = [node for node in graph.node if OUTPUT in node.output]
    if last.op_type == "DequantizeLinear" and len(last.input) == 3:
        codes, scale_name, zero_name = last.input
        scale = numpy_helper.to_array(tensors[scale_name])
        zero_point = numpy_helper.to_array(tensors[zero_name])
        graph.node.remove(last)
        (before,) = [node for node in graph.node if codes in node.output]
        before.output[list(before.output).index(codes)] = OUTPUT
    else:
        low, high = min(low, 0.0), max(high, 0.0)
        scale = np.array((high - low) / 255 or 1.0, np.float32)
        zero_point = np.array(round(-low / float(scale)), np.uint8)
        inner, names = f"{OUTPUT}.float", (f"{OUTPUT}.scale", f"{OUTPUT}.zero_point")
        last.output[list(last.output).index(OUTPUT)] = inner
        for name, value in zip(names, (scale, zero_point), strict=True):
            graph.initializer.append(numpy_helper.from_array(value, name))
        graph.node.append(helper.make_node("QuantizeLinear", [inner, *names], [OUTPUT]))
    assert zero_point.dtype == np.uint8, "activations are uint8 in every file we write"
    graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    for key, number in ((SCALE, float(scale)), (ZERO, int(zero_point))):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, repr(number)
    onnx.save(model, path)
