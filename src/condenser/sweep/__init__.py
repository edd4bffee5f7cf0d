"""Many runs by one command: all checked first, each on its own, what is done is not done again."""

from condenser.sweep.jobs import Job, SweepError, compose, problems

__all__ = ["Job", "SweepError", "compose", "problems"]
