"""Parses command lines as argparse does, with suggestions for a name that does not exist."""

import argparse
import itertools
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from imbdet.errors import suggest


class Parser(argparse.ArgumentParser):
    """Takes no abbreviations, and ends with status 2 where a command or an option does not exist.

    Parsers of subcommands are of the same class.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """As argparse, but unknown options are reported before missing arguments."""
        args = sys.argv[1:] if args is None else args
        for option in self._unknown_options(args):
            self.error(f"there is no {option}. {suggest(option, self._option_string_actions)}")
        return super().parse_known_args(args, namespace)

    def _unknown_options(self, args: Sequence[str]) -> Iterable[str]:
        own = itertools.takewhile(lambda arg: arg != "--", args)
        if self._subparsers is not None:  # what follows a command is for its own parser
            own = itertools.takewhile(lambda arg: arg.startswith("-"), own)
        names = (arg.partition("=")[0] for arg in own if arg.startswith("--"))
        return (name for name in names if name not in self._option_string_actions)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            hint = suggest(str(value), action.choices)
            raise argparse.ArgumentError(action, f"there is no {value!r}. {hint}")
