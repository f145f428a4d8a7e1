"""``imbdet report``."""

import argparse
from pathlib import Path

import shtab

from imbdet.cli.arguments import add_command
from imbdet.programs.startup import quick_imports


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    text = "one page of HTML about a training or an analysis, which needs no other file"
    parser = add_command(commands, "report", text, run)
    action = parser.add_argument(
        "output",
        metavar="DIR",
        help="OUTPUT_DIR of a training, or the folder of an analysis; gets report.html",
    )
    action.complete = shtab.DIRECTORY


def run(args: argparse.Namespace) -> None:
    """Write a report."""
    with quick_imports():
        from imbdet.report import write_report

    print(f"The report is '{write_report(Path(args.output))}'.")
