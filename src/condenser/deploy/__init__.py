"""Export to onnxruntime, OpenVINO or ExecuTorch, and sessions that run the file."""

from condenser.deploy.dynamic import matrices
from condenser.deploy.graph import graph_bytes, to_onnx
from condenser.deploy.quantized import to_quantized_onnx
from condenser.deploy.session import Session, peak_bytes, session
from condenser.deploy.write import SUFFIX, Form, check, files, size, write

__all__ = [
    "SUFFIX",
    "Form",
    "Session",
    "check",
    "files",
    "graph_bytes",
    "matrices",
    "peak_bytes",
    "session",
    "size",
    "to_onnx",
    "to_quantized_onnx",
    "write",
]
