"""Pack a finished model into one entropy-coded file; python src/pack.py --help."""

import sys

from condenser.cli import run

if __name__ == "__main__":
    sys.exit(run("pack"))
