"""Create the W&B workspace of a project, or its JSON offline; src/dashboard.py --help"""

import sys

from condenser.cli import run

if __name__ == "__main__":
    sys.exit(run("dashboard"))
