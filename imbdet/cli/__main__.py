"""``python -m imbdet.cli``."""

import sys

from imbdet.cli import main

if __name__ == "__main__":
    sys.exit(main())
