#!/usr/bin/env python
"""Compare losses, samplers, weights and assigners with what published code gave.

python tools/equality.py    # writes docs/equality.md
"""

import argparse
import sys
from pathlib import Path

from imbdet.programs.program import run_program

ROOT = Path(__file__).parents[1]


def parse_args() -> argparse.Namespace:
    """The command line, which has no options."""
    formatter = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(description=__doc__, formatter_class=formatter).parse_args()


def main() -> None:
    """Write the page."""
    parse_args()
    sys.path.insert(0, str(ROOT))
    from tests.equality.page import PAGE, page

    PAGE.write_text(page())
    print(f"{PAGE.relative_to(ROOT)} is up to date.")


if __name__ == "__main__":
    sys.exit(run_program(main, output="docs/equality.md"))
