"""Train, compress and measure along a recipe: python src/train.py --help"""

import gc
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from condenser.runs import interrupts, ranks

if __name__ == "__main__":
    gc.disable()  # what start-up makes stays; on again when the config is composed
    with interrupts.in_order("condenser", speaks=ranks.first):
        from condenser.cli import main  # takes its time, in which a person may change their mind

        main()
