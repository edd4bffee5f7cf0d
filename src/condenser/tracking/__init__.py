"""Where the curves and records of a run go: CSV files always, Weights & Biases where wanted.

The config names the tracker (conf/logger); the run constructs it with ``identity``, ``config``
and ``folder``. Only the files called ``wandb_`` know W&B, and neither it nor Lightning is
imported before it is used.
"""

from condenser.tracking.base import Identity, Tracker, identity
from condenser.tracking.csv_files import CsvTracker
from condenser.tracking.wandb_run import WandbTracker

__all__ = ["CsvTracker", "Identity", "Tracker", "WandbTracker", "identity"]
