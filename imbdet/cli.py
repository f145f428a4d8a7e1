"""The program ``imbdet``: what one does with a detector beside training it."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from imbdet.startup import quick_imports

if "__mp_main__" in sys.modules:
    # A worker process that starts afresh meets detectron2's classes before anything of imbdet.
    import imbdet.compat  # noqa: F401


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand, and tell a user's mistake in a sentence. Returns the exit status."""
    from imbdet.errors import run_program

    args = parse_args(argv)
    return run_program(lambda: args.run(args), output=args.output)


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; ``run`` is the function of its subcommand."""
    parser = argparse.ArgumentParser(prog="imbdet", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_analyze(commands)
    _add_compare(commands)
    _add_report(commands)
    _add_replay(commands)
    return parser.parse_args(argv)


def _add_analyze(commands: argparse._SubParsersAction) -> None:
    text = "what a frozen detector makes of its candidates: tables, figures, pictures"
    parser = commands.add_parser("analyze", help=text, description=text, allow_abbrev=False)
    parser.set_defaults(run=_analyze)
    parser.add_argument(
        "--config-file",
        action="append",
        default=[],
        metavar="FILE",
        help="YAML file; may be given several times, then a later one wins",
    )
    parser.add_argument("--weights", metavar="FILE", help="checkpoint (default: MODEL.WEIGHTS)")
    parser.add_argument(
        "--dataset", metavar="NAME", help="a data set (default: the first of DATASETS.TEST)"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the results")
    parser.add_argument(
        "--num-images",
        type=int,
        metavar="N",
        help="look at N images, spread over the data set (default: all)",
    )
    parser.add_argument(
        "--picture",
        action="append",
        default=[],
        metavar="NAME",
        help="file name or id of an image to draw; may be given several times (default: four)",
    )
    parser.add_argument(
        "opts",
        nargs=argparse.REMAINDER,
        metavar="KEY VALUE",
        help="overrides of the config, such as MODEL.SAMPLER.OHEM.NMS_THRESH 0.7",
    )


def _analyze(args: argparse.Namespace) -> None:
    with quick_imports():
        from imbdet.config import load_config

        # A mistake is told before the imports that a detector needs, which take several seconds.
        load_config(*args.config_file, opts=args.opts)
        from imbdet.analysis import analyze

    analyze(args)


def _add_compare(commands: argparse._SubParsersAction) -> None:
    text = "trained runs beside each other: tables, figures, pictures"
    parser = commands.add_parser("compare", help=text, description=text, allow_abbrev=False)
    parser.set_defaults(run=_compare)
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="OUTPUT_DIRs of trainings, two or more; the first is the baseline",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the results")
    parser.add_argument(
        "--dataset", metavar="NAME", help="the test set (default: the first of DATASETS.TEST)"
    )
    parser.add_argument(
        "--picture",
        action="append",
        default=[],
        metavar="NAME",
        help="file name or id of an image to draw; may be given several times (default: the four "
        "that differ most)",
    )
    parser.add_argument(
        "--num-resamples",
        type=int,
        default=1000,
        metavar="N",
        help="of the images, for the intervals (default: 1000)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the resamples (default: 0)"
    )


def _compare(args: argparse.Namespace) -> None:
    with quick_imports():
        from imbdet.compare import compare_runs

    compare_runs(args)


def _add_report(commands: argparse._SubParsersAction) -> None:
    text = "one page of HTML about a training or an analysis, which needs no other file"
    parser = commands.add_parser("report", help=text, description=text, allow_abbrev=False)
    parser.set_defaults(run=_report)
    parser.add_argument(
        "output",
        metavar="DIR",
        help="OUTPUT_DIR of a training, or the folder of an analysis; gets report.html",
    )


def _report(args: argparse.Namespace) -> None:
    with quick_imports():
        from imbdet.report import write_report

    print(f"The report is '{write_report(Path(args.output))}'.")


def _add_replay(commands: argparse._SubParsersAction) -> None:
    text = "repeat an iteration whose losses or gradients were not finite"
    parser = commands.add_parser("replay", help=text, description=text, allow_abbrev=False)
    parser.set_defaults(run=_replay, output="standard output")
    parser.add_argument("file", metavar="FILE", help="OUTPUT_DIR/watch/iteration_*.pth")


def _replay(args: argparse.Namespace) -> None:
    with quick_imports():
        from imbdet.engine.replay import replay

    replay(Path(args.file))


if __name__ == "__main__":
    sys.exit(main())
