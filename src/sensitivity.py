"""Pruning sensitivity of each layer of a finished run; python src/sensitivity.py --help."""

import sys

from condenser.cli import run

if __name__ == "__main__":
    sys.exit(run("sensitivity"))
