"""Trains detectors, and looks at what they learn from.

Exit status: 0; 1 after a bug, with its traceback; 2 after a mistake in the input or on a full disk;
130 after Ctrl-C, 143 after SIGTERM; 141 if no program reads the output any more.
"""

import argparse
import sys
from collections.abc import Sequence

from imbdet import __version__
from imbdet.programs.program import run_program

# In other processes that use multiprocessing it is another name of "__main__".
if getattr(sys.modules.get("__mp_main__"), "__name__", "") == "__mp_main__":
    # A worker process that starts afresh imports detectron2's classes before anything of imbdet.
    import imbdet.compat  # noqa: F401


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand, report a mistake of the user in a sentence, and return the exit status."""

    def run() -> int | None:
        args = build_parser().parse_args(argv)
        return args.run(args)

    return run_program(run, output="the folder of the results")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command line, which sets ``run`` to the function of the subcommand."""
    # Imported here, so that signals are handled from the first of them on.
    import shtab

    from imbdet.cli import (
        advise,
        analyze,
        clean,
        compare,
        config,
        demo,
        forecast,
        methods,
        predict,
        prune,
        replay,
        report,
        search,
        train,
    )
    from imbdet.cli.parsing import Parser

    parser = Parser(
        prog="imbdet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shtab.add_argument_to(
        parser, "--print-completion", help="print what completes commands in a shell"
    )
    parser.add_argument("--version", action="version", version=f"imbdet {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for subcommand in (
        *(demo, methods, config, advise, train, search, forecast),
        *(predict, analyze, clean, prune, compare, report, replay),
    ):
        subcommand.add_parser(commands)
    return parser
