"""How important a weight is: one criterion a file."""

from condenser.compress.criteria.activation import Activation
from condenser.compress.criteria.base import Criterion, Plain
from condenser.compress.criteria.batch_norm_scale import BatchNormScale
from condenser.compress.criteria.gradient import GradientMean
from condenser.compress.criteria.hessian import Hessian
from condenser.compress.criteria.l2 import L2
from condenser.compress.criteria.lamp import LAMP
from condenser.compress.criteria.magnitude import Magnitude
from condenser.compress.criteria.movement import Movement
from condenser.compress.criteria.random import Random
from condenser.compress.criteria.taylor import Taylor

__all__ = [
    "L2",
    "LAMP",
    "Activation",
    "BatchNormScale",
    "Criterion",
    "GradientMean",
    "Hessian",
    "Magnitude",
    "Movement",
    "Plain",
    "Random",
    "Taylor",
]
