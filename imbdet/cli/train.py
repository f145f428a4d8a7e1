"""``imbdet train``."""

import argparse
import os

from imbdet.cli.arguments import add_command, add_config_files, add_overrides
from imbdet.programs.startup import quick_imports


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand, whose options are those of detectron2's programs."""
    text = "train or evaluate a detector, in one process or many"
    parser = add_command(commands, "train", text, start)
    add_config_files(parser)
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in OUTPUT_DIR"
    )
    parser.add_argument(
        "--until",
        type=int,
        metavar="N",
        help="end after iteration N of the schedule, evaluated; --resume goes on from there",
    )
    parser.add_argument("--eval-only", action="store_true", help="evaluate MODEL.WEIGHTS")
    parser.add_argument(
        "--num-gpus", type=int, default=1, metavar="N", help="processes per machine, a GPU for each"
    )
    parser.add_argument(
        "--num-processes",
        type=int,
        default=0,
        metavar="N",
        help="instead: processes per machine, on the CPU",
    )
    parser.add_argument(
        "--num-machines", type=int, default=1, metavar="N", help="machines of the job (default: 1)"
    )
    parser.add_argument(
        "--machine-rank", type=int, default=0, metavar="I", help="which of them this is, from 0"
    )
    parser.add_argument(
        "--dist-url", default="auto", metavar="URL", help="where machines meet: tcp://HOST:PORT"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=1800,
        metavar="SECONDS",
        help="how long a process waits for the others before it gives up (default: 1800)",
    )
    add_overrides(parser, "SOLVER.MAX_ITER 100")


def start(args: argparse.Namespace) -> int:
    """Run all processes of this machine, and return the exit status."""
    with quick_imports():
        from imbdet.config import load_config

        if os.environ.get("RANK", "0") == "0":  # one of torchrun's processes reports
            # A mistake is reported before the imports that a training needs, which take seconds.
            load_config(*args.config_file, opts=args.opts)
        from imbdet.engine import launch

    return launch(run, args)


def run(args: argparse.Namespace) -> None:
    """Run one process of the job."""
    from imbdet.engine import evaluate, setup, train

    task = "evaluation" if args.eval_only else "training"
    cfg, keep_start = setup(args, task)
    if args.eval_only:
        evaluate(cfg, resume=args.resume, on_start=keep_start)
    else:
        train(cfg, resume=args.resume, on_start=keep_start, until=args.until)
