#!/usr/bin/env python
"""Renew the tables of docs/which_method.md from imbdet/advice/evidence.yaml.

python tools/which_method.py
"""

import argparse
import sys
from pathlib import Path

from imbdet.advice.remedies import renew_tables
from imbdet.programs.program import run_program

PAGE = Path(__file__).parents[1] / "docs" / "which_method.md"


def parse_args() -> argparse.Namespace:
    """The command line, which has no options."""
    formatter = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(description=__doc__, formatter_class=formatter).parse_args()


def main() -> None:
    """Write the page."""
    parse_args()
    PAGE.write_text(renew_tables(PAGE.read_text()))
    print(f"{PAGE.name} is up to date.")


if __name__ == "__main__":
    sys.exit(run_program(main, output="docs/which_method.md"))
