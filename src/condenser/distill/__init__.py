"""What a student learns from, one objective a file."""

from condenser.distill.base import Objective, Outputs
from condenser.distill.kd import KD
from condenser.distill.labels import Labels

__all__ = ["KD", "Labels", "Objective", "Outputs"]
