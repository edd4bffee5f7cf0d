"""Convert an ONNX file to OpenVINO IR."""

from __future__ import annotations

from pathlib import Path

import onnx

from condenser.deploy.graph import quiet
from condenser.deploy.runtimes import META
from condenser.errors import CondenserError


def to_openvino(onnx_path: Path, path: Path) -> None:
    """Write the graph of an ONNX file as ``path`` (.xml) and its weights beside it (.bin).

    float32 weights stay float32; Q/DQ pairs become OpenVINO's own. The file's metadata on its
    logits is copied.

    Raises:
        CondenserError: OpenVINO cannot read the graph.
    """
    import openvino

    try:
        with quiet():
            model = openvino.convert_model(str(onnx_path))
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise CondenserError(
            f"export.target=openvino: it cannot take the graph: {reason}"
        ) from error
    for note in onnx.load(onnx_path, load_external_data=False).metadata_props:
        if note.key.startswith(META):
            model.set_rt_info(note.value, [note.key])
    openvino.save_model(model, str(path), compress_to_fp16=False)
