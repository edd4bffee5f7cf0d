"""Low-rank factorisation of layers."""

from condenser.compress.factorization.compression import Factorization
from condenser.compress.factorization.operation import Factorized

__all__ = ["Factorization", "Factorized"]
