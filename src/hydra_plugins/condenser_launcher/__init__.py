"""Hydra's plugins of this project, found because src/ is on the path: how sweeps are run."""
