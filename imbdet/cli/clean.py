"""``imbdet clean``."""

import argparse

import shtab

from imbdet.cli.arguments import add_command
from imbdet.programs.startup import quick_imports


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    text = (
        "annotations that may be wrong, by the ledger of a training, and a changed copy of the "
        "annotation file"
    )
    parser = add_command(commands, "clean", text, run)
    action = parser.add_argument(
        "run_folder", metavar="RUN", help="OUTPUT_DIR of a training with LEDGER.ENABLED True"
    )
    action.complete = shtab.DIRECTORY
    action = parser.add_argument(
        "--output", metavar="DIR", help="folder of the results (default: 'clean' in RUN)"
    )
    action.complete = shtab.DIRECTORY
    parser.add_argument(
        "--dataset", metavar="NAME", help="a data set (default: the first of DATASETS.TRAIN)"
    )
    parser.add_argument(
        "--num", type=int, default=50, metavar="N", help="suspects of each kind (default: 50)"
    )
    parser.add_argument(
        "--policy",
        default="ignore",
        metavar="POLICY",
        help="what becomes of suspects in cleaned.json: ignore, weight or change, see "
        "docs/clean.md (default: ignore)",
    )
    parser.add_argument(
        "--threshold",
        action="append",
        default=[],
        metavar="KIND=SCORE",
        help="from which score on it does, such as missing=0.2; may be given several times, for "
        "wrong_class, misplaced, missing and duplicate",
    )


def run(args: argparse.Namespace) -> None:
    """Find suspects."""
    with quick_imports():
        from imbdet.cleaning import clean_run

    clean_run(args)
