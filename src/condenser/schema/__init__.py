"""What a composed config may hold. Read in a tenth of a second, before torch is imported."""

from condenser.schema.check import check, check_as, check_section, of_stage
from condenser.schema.run import Config, Searching

__all__ = ["Config", "Searching", "check", "check_as", "check_section", "of_stage"]
