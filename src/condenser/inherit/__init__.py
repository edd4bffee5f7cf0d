"""Initialise a student from its teacher's weights, one method per file."""

from condenser.inherit.base import Inheritance, Inherited
from condenser.inherit.blocks import Blocks
from condenser.inherit.channels import Channels
from condenser.inherit.matching import Matching

__all__ = ["Blocks", "Channels", "Inheritance", "Inherited", "Matching"]
