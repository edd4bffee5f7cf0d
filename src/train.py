"""Train, compress and measure along a recipe: python src/train.py --help"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from condenser.runs import interrupts, ranks

if __name__ == "__main__":
    with interrupts.in_order("condenser", speaks=ranks.first):
        from condenser.cli import main  # takes its time, in which a person may change their mind

        main()
