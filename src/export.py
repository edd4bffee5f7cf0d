"""Export a finished run to a deployable file; python src/export.py --help."""

import sys

from condenser.cli import run

if __name__ == "__main__":
    sys.exit(run("export"))
