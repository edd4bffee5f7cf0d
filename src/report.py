"""Report on finished runs: page, tables and curves; python src/report.py --help."""

import sys

from condenser.cli import run

if __name__ == "__main__":
    sys.exit(run("report"))
