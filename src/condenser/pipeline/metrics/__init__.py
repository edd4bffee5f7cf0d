"""What is known of a stage's result by measuring it."""

from condenser.pipeline.metrics.quality import beside_teachers
from condenser.pipeline.metrics.result import keep_promises, measured

__all__ = ["beside_teachers", "keep_promises", "measured"]
