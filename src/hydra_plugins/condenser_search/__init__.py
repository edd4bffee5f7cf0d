"""Hydra's sweeper that searches: hydra/sweeper=search."""
