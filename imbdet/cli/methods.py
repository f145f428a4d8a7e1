"""``imbdet methods``."""

import argparse
import textwrap
from typing import TYPE_CHECKING

from imbdet.cli.arguments import add_command
from imbdet.errors import UserError, suggest
from imbdet.startup import quick_imports

if TYPE_CHECKING:
    from imbdet.modeling.catalog import Kind, Method

_WIDTH = 100
# Keys beside those that take a name, each with the options of its own.
_SWITCHES = (
    "MODEL.CLS_LOSS.SCOPE",
    "MODEL.CLS_LOSS.GUIDED_SCALE",
    "MODEL.CARL",
    "MODEL.BFP",
    "INPUT.AUGMENTATION",
)


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    text = "the methods that a YAML file can name: keys, defaults, papers"
    parser = add_command(commands, "methods", text, run)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="only these, with what their options mean"
    )


def run(args: argparse.Namespace) -> None:
    """Print the methods.

    Raises:
        UserError: there is no method of a name.
    """
    with quick_imports():
        import imbdet.modeling  # noqa: F401  (registers the methods)
        from imbdet.config import load_config
        from imbdet.modeling.catalog import KINDS, list_methods

    cfg = load_config()
    methods = {kind: list_methods(kind, cfg) for kind in KINDS}
    known = {method.name for of_kind in methods.values() for method in of_kind}
    names = [name.lower() for name in args.names]
    for name in names:
        if name not in known:
            raise UserError(f"There is no method '{name}'. {suggest(name, known)}")
    for kind, of_kind in methods.items():
        chosen = [method for method in of_kind if not names or method.name in names]
        if chosen:
            _print_kind(kind, chosen, explained=bool(names))
    if not names:
        _print_switches()
        print(
            "'imbdet methods NAME' explains the options of a method, 'imbdet config explain KEY' a "
            "key."
        )


def _print_kind(kind: "Kind", methods: "list[Method]", *, explained: bool) -> None:
    from imbdet.config.comments import explain_key

    print(f"{kind.title}: {', of the RPN '.join(kind.keys)}")
    for method in methods:
        text = f"{method.description} {method.source}".rstrip()
        print(textwrap.fill(f"{method.name:23} {text}", _WIDTH, initial_indent="  ", **_HANGING))
        for key, value in method.options.items():
            print(f"{_INDENT}{key}: {value}")
        # Options of a method are explained together.
        explanation = next(map(explain_key, method.options), "") if explained else ""
        if explanation:
            print(textwrap.fill(explanation, _WIDTH, initial_indent=_INDENT, **_HANGING))
    print()


def _print_switches() -> None:
    from imbdet.config.comments import explain_key

    print("Beside them")
    for key in _SWITCHES:
        print(f"  {key}")
        print(textwrap.fill(explain_key(key), _WIDTH, initial_indent=_INDENT, **_HANGING))
    print()


_INDENT = " " * 26
_HANGING = {"subsequent_indent": _INDENT, "break_long_words": False, "break_on_hyphens": False}
