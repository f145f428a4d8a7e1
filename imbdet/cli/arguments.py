"""Common parts of the command lines: subcommands, and the arguments of a config."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import shtab


def add_command(
    commands: argparse._SubParsersAction,
    name: str,
    text: str,
    run: Callable[[argparse.Namespace], int | None],
) -> argparse.ArgumentParser:
    """Add a subcommand: its name, what it is for, and the function that does it."""
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def add_config_files(parser: argparse._ActionsContainer, **kwargs: bool) -> None:
    """Add ``--config-file``; ``kwargs`` may make it required."""
    action = parser.add_argument(
        "--config-file",
        action="append",
        default=[],
        metavar="FILE",
        help="YAML file; may be given several times, then a later one wins",
        **kwargs,
    )
    action.complete = shtab.FILE


def add_overrides(parser: argparse._ActionsContainer, example: str) -> None:
    """Add ``opts``, all that is left of the command line."""
    parser.add_argument(
        "opts",
        nargs=argparse.REMAINDER,
        metavar="KEY VALUE",
        help=f"overrides of the config, such as {example}",
    )


def add_space(parser: argparse._ActionsContainer) -> None:
    """Add ``--space``."""
    action = parser.add_argument(
        "--space", required=True, type=Path, metavar="FILE", help="YAML file of the choices"
    )
    action.complete = shtab.FILE


def add_weights(parser: argparse._ActionsContainer) -> None:
    """Add ``--weights``."""
    action = parser.add_argument(
        "--weights", metavar="FILE", help="checkpoint (default: MODEL.WEIGHTS)"
    )
    action.complete = shtab.FILE


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add ``--json`` to a command that prints an answer."""
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def add_pictures(parser: argparse._ActionsContainer, default: str) -> None:
    """Add ``--picture``; ``default`` says in words which images are drawn without it."""
    parser.add_argument(
        "--picture",
        action="append",
        default=[],
        metavar="NAME",
        help="file name or id of an image to draw; may be given several times "
        f"(default: {default})",
    )


def add_output(parser: argparse._ActionsContainer) -> None:
    """Add ``--output``."""
    action = parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder of the results"
    )
    action.complete = shtab.DIRECTORY


def at_least_1(text: str) -> int:
    """An integer of a command line that is at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def positive_number(text: str) -> float:
    """A number of a command line that is above 0."""
    number = float(text)
    if not number > 0:  # NaN
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def print_json(answer: Any) -> None:
    """Print an answer for other programs."""
    print(json.dumps(answer, indent=1))
