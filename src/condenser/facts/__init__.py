"""What is known of a stage's result by measuring it."""

from condenser.facts.quality import beside_teachers
from condenser.facts.result import keep_promises, measured

__all__ = ["beside_teachers", "keep_promises", "measured"]
