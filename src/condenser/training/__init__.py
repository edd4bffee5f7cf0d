"""Lightning modules for training with and without a teacher."""

from condenser.training.distillation import Distillation, build_projectors
from condenser.training.student import Plan, Student, Teacher

__all__ = ["Distillation", "Plan", "Student", "Teacher", "build_projectors"]
