"""Train, compress and measure along a recipe; python src/train.py --help"""

import sys

from condenser.cli import run

if __name__ == "__main__":
    sys.exit(run("train"))
