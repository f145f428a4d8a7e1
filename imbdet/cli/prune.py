"""``imbdet prune``."""

import argparse

import shtab

from imbdet.cli.arguments import add_command, add_output
from imbdet.programs.startup import quick_imports


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    text = (
        "the part of the training data that mattered most to a training, by its ledger "
        "(not shown to be better than a random part)"
    )
    parser = add_command(commands, "prune", text, run)
    action = parser.add_argument(
        "run_folder", metavar="RUN", help="OUTPUT_DIR of a training with LEDGER.ENABLED True"
    )
    action.complete = shtab.DIRECTORY
    parser.add_argument(
        "--keep", type=float, required=True, metavar="SHARE", help="of the images, above 0 to 1"
    )
    add_output(parser)
    parser.add_argument(
        "--by",
        default="variance",
        metavar="SCORE",
        help="what matters: variance, forgetting, error or random (default: variance)",
    )
    parser.add_argument(
        "--unit",
        default="images",
        choices=("images", "objects"),
        help="what is left out: images, or objects, which are ignored then (default: images)",
    )
    parser.add_argument(
        "--per-class",
        type=int,
        default=10,
        metavar="N",
        help="of each class keep N at least, or all that it has (default: 10)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of what is drawn (default: 0)"
    )


def run(args: argparse.Namespace) -> None:
    """Prune the data of a training."""
    with quick_imports():
        from imbdet.pruning import prune

    print(prune(args))
