"""Which of the processes of a run this one is, as far as its environment tells."""

from __future__ import annotations

import os
import re

VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
# What makes a process one of several, or another's: not for those that it starts.
FOREIGN = re.compile(
    r"(GROUP_|ROLE_|LOCAL_|NODE_)?(RANK|WORLD_SIZE)|ROLE_NAME|MASTER_(ADDR|PORT)|TORCHELASTIC_.*"
    r"|PL_.*|SLURM_(NTASKS.*|PROCID|LOCALID|NODEID|STEP.*|TASKS_PER_NODE)"
    r"|WANDB_(RUN_ID|RUN_NAME|SERVICE|RESUME)|_HYDRA.*"
)


def first() -> bool:
    """Whether it is the one that writes; so is a process by itself."""
    return all(os.environ.get(name, "0") in ("", "0") for name in VARIABLES)
