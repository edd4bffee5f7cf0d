"""Train, compress and measure along a recipe: python src/train.py --help"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from condenser.cli import main

if __name__ == "__main__":
    main()
