"""Lightning modules: a network that learns, alone or from a teacher."""

from condenser.training.distillation import Distillation, build_projectors
from condenser.training.student import Plan, Student, Teacher

__all__ = ["Distillation", "Plan", "Student", "Teacher", "build_projectors"]
