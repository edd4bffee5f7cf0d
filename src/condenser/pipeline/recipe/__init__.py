"""A recipe: stages in order, and how each hands its model to the next."""

from condenser.pipeline.recipe.entries import expand, merge, plan
from condenser.pipeline.recipe.execute import Made, accuracy, run
from condenser.pipeline.recipe.key import VERSION, ingredients, numerics

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
