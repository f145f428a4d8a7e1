"""``imbdet analyze``."""

import argparse

from imbdet.cli.arguments import (
    add_command,
    add_config_files,
    add_output,
    add_overrides,
    add_pictures,
    add_weights,
)
from imbdet.programs.startup import quick_imports


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    text = "what a frozen detector makes of its candidates: tables, figures, pictures"
    parser = add_command(commands, "analyze", text, run)
    add_config_files(parser)
    add_weights(parser)
    parser.add_argument(
        "--dataset", metavar="NAME", help="a data set (default: the first of DATASETS.TEST)"
    )
    add_output(parser)
    parser.add_argument(
        "--num-images",
        type=int,
        metavar="N",
        help="look at N images, spread over the data set (default: all)",
    )
    add_pictures(parser, "four")
    add_overrides(parser, "MODEL.SAMPLER.OHEM.NMS_THRESH 0.7")


def run(args: argparse.Namespace) -> None:
    """Analyse a detector."""
    with quick_imports():
        from imbdet.config import load_config

        # A mistake is reported before the imports that a detector needs, which take seconds.
        load_config(*args.config_file, opts=args.opts)
        from imbdet.analysis import analyze

    analyze(args)
