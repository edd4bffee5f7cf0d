"""Hyperparameter search with Optuna (``study``), resumable from a journal."""
