"""Hyperparameter search with Optuna, resumable from a journal."""

from condenser.search.space import Choice, Interval, Space
from condenser.search.study import Search, Trial

__all__ = ["Choice", "Interval", "Search", "Space", "Trial"]
