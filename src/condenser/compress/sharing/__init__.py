"""Weight sharing with codebooks."""

from condenser.compress.sharing.compression import KMeansSharing
from condenser.compress.sharing.operation import Shared

__all__ = ["KMeansSharing", "Shared"]
