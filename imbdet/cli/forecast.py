"""``imbdet forecast``."""

import argparse

from imbdet.cli.arguments import (
    add_command,
    add_config_files,
    add_output,
    add_overrides,
    add_space,
    add_weights,
    at_least_1,
)
from imbdet.programs.startup import quick_imports


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    text = "rank rules by where their updates of a checkpoint point: an experiment"
    parser = add_command(commands, "forecast", text, run)
    add_config_files(parser)
    add_space(parser)
    add_weights(parser)
    add_output(parser)
    parser.add_argument(
        "--num-images",
        type=at_least_1,
        default=200,
        metavar="N",
        help="look at N images of training and N of validation (default: 200)",
    )
    add_overrides(parser, "SOLVER.IMS_PER_BATCH 2")


def run(args: argparse.Namespace) -> None:
    """Forecast the rules of a space."""
    with quick_imports():
        from imbdet.search.space import read_space

        space = read_space(args.space, args.config_file)
        from imbdet.config import load_config

        # A mistake is reported before the imports that a detector needs, which take seconds.
        for arm in space.arms.values():
            load_config(*arm.files, opts=[*arm.opts, *args.opts])
        from imbdet.search.overwriting import refuse_overwriting

        refuse_overwriting(space)
        from imbdet.forecast import forecast

    forecast(args, space)
