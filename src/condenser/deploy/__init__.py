"""Export to onnxruntime, OpenVINO or ExecuTorch, and sessions that run the file."""

from condenser.deploy.bundle import Sample, sample_of, write_bundle
from condenser.deploy.description import described, notes
from condenser.deploy.dynamic import matrices
from condenser.deploy.graph import graph_bytes, to_onnx
from condenser.deploy.quantized import to_quantized_onnx
from condenser.deploy.session import Session, peak_bytes, session
from condenser.deploy.write import SUFFIX, Form, check, files, size, write

__all__ = [
    "SUFFIX",
    "Form",
    "Sample",
    "Session",
    "check",
    "described",
    "files",
    "graph_bytes",
    "matrices",
    "notes",
    "peak_bytes",
    "sample_of",
    "session",
    "size",
    "to_onnx",
    "to_quantized_onnx",
    "write",
    "write_bundle",
]
