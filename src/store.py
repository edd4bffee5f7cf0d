"""List, verify and clean up the store; python src/store.py --help"""

import sys

from condenser.cli import run

if __name__ == "__main__":
    sys.exit(run("store"))
