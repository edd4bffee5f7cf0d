"""Pruning granularities, one per file."""

from condenser.compress.masks.granularity.base import Granularity
from condenser.compress.masks.granularity.filter import Filter
from condenser.compress.masks.granularity.kernel import Kernel
from condenser.compress.masks.granularity.n_of_m import NofM
from condenser.compress.masks.granularity.neuron import Neuron
from condenser.compress.masks.granularity.weight import Weight

__all__ = ["Filter", "Granularity", "Kernel", "Neuron", "NofM", "Weight"]
