"""``imbdet demo``."""

import argparse
import itertools
import shlex
import sys
from collections.abc import Sequence

from imbdet.cli.arguments import add_command
from imbdet.config_files.addresses import PREFIX
from imbdet.programs.processes import path_of, wait_for
from imbdet.programs.signals import Stopped

DETECTORS = (
    "retinanet",
    "faster_rcnn",
    "cascade_rcnn",
    "fcos",
    "atss",
    "gfl",
    "vfnet",
    "paa",
    "tood",
)


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    text = (
        "train, evaluate, analyse, find suspects and report on a synthetic data set, "
        "or go on with it"
    )
    parser = add_command(commands, "demo", text, run)
    parser.add_argument(
        "detector",
        nargs="?",
        default=DETECTORS[0],
        metavar="DETECTOR",
        choices=DETECTORS,
        help=f"{', '.join(DETECTORS)} (default: {DETECTORS[0]})",
    )
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="overrides of the training"
    )


def run(args: argparse.Namespace) -> int:
    """Print and run each command of a demo; return the first status that is not 0.

    Raises:
        Stopped: a signal arrived, and the running command has ended.
    """
    from imbdet.formats.folders import datasets_root

    choices = dict(zip(args.opts[::2], args.opts[1::2], strict=False))
    output = choices.pop("OUTPUT_DIR", f"output/{args.detector}")
    detector = f"quick_start/{args.detector}"
    print(f"The results go to '{output}', the data set that is drawn to '{datasets_root()}'.")
    for command in (
        _train(detector, "quick_start/Records", opts=args.opts, options=["--resume"]),
        _analyze(output),
        [path_of("imbdet"), "clean", output],
        [path_of("imbdet"), "report", output],
    ):
        print(f"\n$ {shlex.join(command)}", flush=True)
        try:
            status = wait_for(command)
        except Stopped as stop:
            raise Stopped(stop.number, "The demo, started again, goes on from there.") from None
        if status != 0:
            if status != 2:  # a mistake, which the same command would repeat
                print("The same command goes on from there.", file=sys.stderr)
            return status
    print("\nNext, for instance, another method, and what it changes:")
    piece = "PISA" if args.detector == "faster_rcnn" else "Loss-AP"
    choices["OUTPUT_DIR"] = f"{output}_{piece}"
    compare = [path_of("imbdet"), "compare", output, choices["OUTPUT_DIR"]]
    for command in (
        _train(detector, piece, opts=list(itertools.chain(*choices.items()))),
        [*compare, "--output", f"{choices['OUTPUT_DIR']}/comparison"],
    ):
        print(f"  {shlex.join(command)}")
    return 0


def _train(*names: str, opts: Sequence[str], options: Sequence[str] = ()) -> list[str]:
    """The command of a training with files of configs/."""
    files = [f"--config-file={PREFIX}{name}.yaml" for name in names]
    return [path_of("imbdet"), "train", *options, *files, *opts]


def _analyze(output: str) -> list[str]:
    """The command of an analysis of a few images."""
    command = [path_of("imbdet"), "analyze", "--config-file", f"{output}/config.yaml"]
    command += ["--weights", f"{output}/model_final.pth"]
    return [*command, "--output", f"{output}/analysis", "--num-images", "4"]
