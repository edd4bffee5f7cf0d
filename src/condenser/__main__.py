"""``python -m condenser NAME …``"""

import sys

from condenser.cli import main

if __name__ == "__main__":
    sys.exit(main())
