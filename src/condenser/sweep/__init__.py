"""Sweeps: all jobs checked first, each in its own process, finished ones skipped."""

from condenser.sweep.jobs import Job, SweepError, compose, problems

__all__ = ["Job", "SweepError", "compose", "problems"]
