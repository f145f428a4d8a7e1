"""``imbdet demo``."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import imbdet
from imbdet.cli.arguments import add_command
from imbdet.errors import UserError
from imbdet.processes import path_of, wait_for

DETECTORS = ("retinanet", "faster_rcnn")


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    text = "train, evaluate, analyse and report on a synthetic data set, or go on with it"
    parser = add_command(commands, "demo", text, run)
    parser.add_argument(
        "detector",
        nargs="?",
        default=DETECTORS[0],
        metavar="DETECTOR",
        choices=DETECTORS,
        help=f"{' or '.join(DETECTORS)} (default: {DETECTORS[0]})",
    )
    parser.add_argument(
        "opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="overrides of the training"
    )


def run(args: argparse.Namespace) -> int:
    """Run the commands of a demo, each after it is shown. Returns the first status that is not 0.

    Raises:
        UserError: this is no checkout of the repository, whose configs it needs.
        KeyboardInterrupt: Ctrl-C, after the running command has ended by it.
    """
    root = Path(imbdet.__file__).resolve().parents[1]
    if not (root / "configs" / "quick_start").is_dir():
        raise UserError("The demo needs configs/ and train_net.py beside imbdet: use a checkout.")
    train, *look = _commands(root, args.detector, args.opts)
    for command in (train, *look):
        print(f"\n$ {shlex.join(command)}", flush=True)
        status = wait_for(command)
        if status != 0:
            print("The same command goes on from there.", file=sys.stderr)
            return status
    print("\nNext, for instance, another method, and what it changes:")
    for command in _comparison(root, args.detector):
        print(f"  {shlex.join(command)}")
    return 0


def _commands(root: Path, detector: str, opts: Sequence[str]) -> list[list[str]]:
    """Training, analysis and report."""
    configs = os.path.relpath(root / "configs" / "quick_start")
    output = dict(zip(opts[::2], opts[1::2], strict=False)).get("OUTPUT_DIR", f"output/{detector}")
    files = [f"{configs}/{detector}.yaml", f"{configs}/Records.yaml"]
    train = [path_of("python"), os.path.relpath(root / "train_net.py"), "--resume"]
    train += [word for file in files for word in ("--config-file", file)]
    analyze = [path_of("imbdet"), "analyze", "--config-file", f"{output}/config.yaml"]
    analyze += ["--weights", f"{output}/model_final.pth"]
    analyze += ["--output", f"{output}/analysis", "--num-images", "4"]
    return [[*train, *opts], analyze, [path_of("imbdet"), "report", output]]


def _comparison(root: Path, detector: str) -> list[list[str]]:
    """Training with another method, and a comparison with the demo's."""
    piece = {"retinanet": "Loss-AP", "faster_rcnn": "PISA"}[detector]
    configs, output = os.path.relpath(root / "configs"), f"output/{detector}_{piece}"
    train = [path_of("python"), os.path.relpath(root / "train_net.py")]
    train += ["--config-file", f"{configs}/quick_start/{detector}.yaml"]
    train += ["--config-file", f"{configs}/{piece}.yaml", "OUTPUT_DIR", output]
    compare = [path_of("imbdet"), "compare", f"output/{detector}", output]
    return [train, [*compare, "--output", "output/comparison"]]
