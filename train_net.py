#!/usr/bin/env python
"""``imbdet train`` under the name that Detectron2's users know; see README.md."""

import sys
from collections.abc import Sequence

import imbdet.cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run, and tell a user's mistake in a sentence. Returns the exit status."""
    return imbdet.cli.main(["train", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
