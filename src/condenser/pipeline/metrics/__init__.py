"""What is known of a stage's result by measuring it."""

from condenser.pipeline.metrics.quality import LOGITS, beside_teachers
from condenser.pipeline.metrics.result import check_invariants, measured

__all__ = ["LOGITS", "beside_teachers", "check_invariants", "measured"]
