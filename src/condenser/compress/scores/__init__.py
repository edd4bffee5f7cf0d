"""How important a weight, a channel is: one criterion a file, every one for both."""

from condenser.compress.scores.activation import Activation
from condenser.compress.scores.base import Criterion, Plain
from condenser.compress.scores.batch_norm_scale import BatchNormScale
from condenser.compress.scores.gradient import GradientMean
from condenser.compress.scores.hessian import Hessian
from condenser.compress.scores.lamp import LAMP
from condenser.compress.scores.movement import Movement
from condenser.compress.scores.norm import L2, Magnitude, Norm
from condenser.compress.scores.random import Random
from condenser.compress.scores.taylor import Taylor

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
    "Norm",
    "Plain",
    "Random",
    "Taylor",
]
