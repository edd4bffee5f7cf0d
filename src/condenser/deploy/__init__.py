"""The file to deploy: an ONNX graph, in float or with Q/DQ pairs, and a session that runs it."""

from condenser.deploy.graph import graph_bytes, to_onnx
from condenser.deploy.quantized import to_quantized_onnx
from condenser.deploy.session import session

__all__ = ["graph_bytes", "session", "to_onnx", "to_quantized_onnx"]
