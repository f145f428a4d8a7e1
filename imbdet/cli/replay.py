"""``imbdet replay``."""

import argparse
from pathlib import Path

import shtab

from imbdet.cli.arguments import add_command
from imbdet.programs.startup import quick_imports


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    text = "repeat an iteration whose losses or gradients were not finite"
    parser = add_command(commands, "replay", text, run)
    action = parser.add_argument("file", metavar="FILE", help="OUTPUT_DIR/watch/iteration_*.pth")
    action.complete = shtab.FILE


def run(args: argparse.Namespace) -> None:
    """Repeat an iteration."""
    with quick_imports():
        from imbdet.engine.incidents.repetition import replay

    replay(Path(args.file))
