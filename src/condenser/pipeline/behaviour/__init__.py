"""What a network gives away and what it keeps: `measure`, off unless asked for."""

from condenser.pipeline.behaviour.check import check, estimate
from condenser.pipeline.behaviour.run import Behaviour

__all__ = ["Behaviour", "check", "estimate"]
