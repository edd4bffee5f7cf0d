"""A recipe: stages in order, and how each hands its model to the next."""

from condenser.recipe.entries import expand, merge, plan
from condenser.recipe.results import VERSION, Made, accuracy, numerics, run

__all__ = ["VERSION", "Made", "accuracy", "expand", "merge", "numerics", "plan", "run"]
