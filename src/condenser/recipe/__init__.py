"""A recipe: stages in order, and how each hands its model to the next."""

from condenser.recipe.entries import expand, merge, plan
from condenser.recipe.key import VERSION, ingredients, numerics
from condenser.recipe.results import Made, accuracy, run

__all__ = [
    "VERSION",
    "Made",
    "accuracy",
    "expand",
    "ingredients",
    "merge",
    "numerics",
    "plan",
    "run",
]
