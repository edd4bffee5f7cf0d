"""Train, compress and measure along a recipe: python src/train.py --help"""

import gc
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from condenser.cli import main

if __name__ == "__main__":
    gc.disable()  # what start-up makes stays; on again when the config is composed
    main()
