"""``imbdet search``."""

import argparse
import shlex
from collections.abc import Callable

from imbdet.cli.arguments import (
    add_command,
    add_config_files,
    add_output,
    add_space,
    at_least_1,
    positive_number,
)
from imbdet.errors import UserError
from imbdet.programs.startup import quick_imports


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    text = "choose among methods and learning rates by trainings on your data"
    parser = add_command(commands, "search", text, run)
    add_config_files(parser)
    add_space(parser)
    add_output(parser)
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument(
        "--iterations",
        type=at_least_1,
        metavar="N",
        help="budget: iterations of all trainings together",
    )
    budget.add_argument(
        "--hours",
        type=positive_number,
        metavar="H",
        help="budget: hours of all GPUs or processes together",
    )
    budget.add_argument(
        "--grid", action="store_true", help="no budget: train all to the end and decide nothing"
    )
    places = parser.add_mutually_exclusive_group()
    places.add_argument(
        "--parallel", type=at_least_1, default=1, metavar="N", help="trainings side by side"
    )
    places.add_argument("--gpus", nargs="+", default=[], metavar="ID", help="a training on each")
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help='have the trainings done by a Ray cluster, such as "auto", --parallel at a time',
    )
    parser.add_argument(
        "--launcher", type=shlex.split, default=[], metavar="COMMAND", help="precedes each command"
    )
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="database that several searches may share (default: an SQLite file in --output)",
    )
    parser.add_argument(
        "--show", action="store_true", help="write and print what is found so far, train nothing"
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="begin once more with trainings that failed"
    )


def run(args: argparse.Namespace) -> int | None:
    """Search, or train the grid.

    Raises:
        UserError: see :func:`imbdet.search.run_search.open_search`.
    """
    if args.grid and (args.storage or args.retry_failed):
        raise UserError(
            "--storage and --retry-failed are of a search within a budget: leave them out, since "
            "--grid keeps its notes in --output, and begins once more with what failed."
        )
    if args.show and args.retry_failed:
        raise UserError("--show trains nothing: leave it out, or --retry-failed.")
    with quick_imports():
        from imbdet.search.space import read_space

        space = read_space(args.space, args.config_file)
        run_space = _import_grid() if args.grid else _import_search()
    return run_space(args, space)


def _import_grid() -> Callable[..., int]:
    from imbdet.search.grid import run_grid

    return run_grid


def _import_search() -> Callable[..., None]:
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(
            "'optuna' is not installed: `pip install 'imbdet[search]'` brings it."
        ) from error
    from imbdet.search.run_search import run_search

    return run_search
