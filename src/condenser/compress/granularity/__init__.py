"""Which weights fall together: one granularity a file."""

from condenser.compress.granularity.base import Granularity
from condenser.compress.granularity.filter import Filter
from condenser.compress.granularity.kernel import Kernel
from condenser.compress.granularity.n_of_m import NofM
from condenser.compress.granularity.neuron import Neuron
from condenser.compress.granularity.weight import Weight

__all__ = ["Filter", "Granularity", "Kernel", "Neuron", "NofM", "Weight"]
