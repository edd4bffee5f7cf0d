"""First weights for a student that come from its teacher, one method a file."""

from condenser.inherit.base import Inheritance, Inherited
from condenser.inherit.blocks import Blocks
from condenser.inherit.channels import Channels
from condenser.inherit.matching import Matching

__all__ = ["Blocks", "Channels", "Inheritance", "Inherited", "Matching"]
