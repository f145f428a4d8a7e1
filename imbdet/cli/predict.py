"""``imbdet predict``."""

import argparse

import shtab

from imbdet.cli.arguments import (
    add_command,
    add_config_files,
    add_output,
    add_overrides,
    add_weights,
)
from imbdet.programs.startup import quick_imports


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    text = "detections on images of yours: pictures, and a file in COCO's format"
    parser = add_command(commands, "predict", text, run)
    add_config_files(parser)
    add_weights(parser)
    action = parser.add_argument(
        "--images",
        action="append",
        required=True,
        metavar="PATH",
        help="an image, or a folder of images; may be given several times",
    )
    action.complete = shtab.FILE
    add_output(parser)
    add_overrides(parser, "TEST.PICTURE_SCORE_THRESH 0.5")


def run(args: argparse.Namespace) -> None:
    """Detect objects on images."""
    with quick_imports():
        from imbdet.config import load_config

        # A mistake is reported before the imports that a detector needs, which take seconds.
        load_config(*args.config_file, opts=args.opts)
        from imbdet.prediction import predict

    predict(args)
