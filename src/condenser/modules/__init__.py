"""Lightning modules: a network that learns, alone or from a teacher."""

from condenser.modules.distillation import Distillation, connect
from condenser.modules.student import Plan, Student, Teacher

__all__ = ["Distillation", "Plan", "Student", "Teacher", "connect"]
