"""``imbdet compare``."""

import argparse

import shtab

from imbdet.cli.arguments import add_command, add_output, add_pictures
from imbdet.programs.startup import quick_imports


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    text = "trained runs beside each other: tables, figures, pictures"
    parser = add_command(commands, "compare", text, run)
    action = parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="OUTPUT_DIRs of trainings, two or more; the first is the baseline",
    )
    action.complete = shtab.DIRECTORY
    add_output(parser)
    parser.add_argument(
        "--dataset", metavar="NAME", help="the test set (default: the first of DATASETS.TEST)"
    )
    add_pictures(parser, "the four that differ most")


def run(args: argparse.Namespace) -> None:
    """Compare trainings."""
    with quick_imports():
        from imbdet.compare import compare_runs

    compare_runs(args)
