"""What a composed config may hold. Read in a tenth of a second, before torch is imported."""

from condenser.config.schema.check import WHOLE, check, check_as, check_section, headless, of_stage
from condenser.config.schema.run import Config, Searching

__all__ = [
    "WHOLE",
    "Config",
    "Searching",
    "check",
    "check_as",
    "check_section",
    "headless",
    "of_stage",
]
