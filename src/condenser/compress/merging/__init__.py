"""Similar neurons and channels become one."""

from condenser.compress.merging.compression import Merging

__all__ = ["Merging"]
