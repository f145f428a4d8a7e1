"""``imbdet methods``."""

import argparse
import textwrap
from typing import TYPE_CHECKING, Any

from imbdet.cli.arguments import add_command, add_json, print_json
from imbdet.config_files.addresses import PREFIX
from imbdet.errors import UserError, suggest
from imbdet.methods import Method
from imbdet.methods.options import Option
from imbdet.reference.comments import explain_key
from imbdet.reference.declared_keys import FAMILIES, Family, option_keys
from imbdet.reference.declared_methods import read_registries

if TYPE_CHECKING:
    from imbdet.reference.pieces import Piece

_WIDTH = 100
# Keys of methods beside those that take a name.
_SWITCHES = (
    "MODEL.CLS_LOSS.SCOPE",
    "MODEL.CLS_LOSS.GUIDED_SCALE",
    "MODEL.CARL.ENABLED",
    "MODEL.BFP.REFINE_LEVEL",
    "MODEL.BFP.REFINEMENT",
    "INPUT.AUGMENTATION",
)


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    text = "the methods that a YAML file can name, and the pieces that set them"
    parser = add_command(commands, "methods", text, run)
    add_json(parser)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="only these methods and pieces, with what their options and keys mean",
    )


def run(args: argparse.Namespace) -> None:
    """Print the methods, and the pieces of configs/ that set them.

    Raises:
        UserError: there is no method and no piece of a name.
    """
    from imbdet.reference.pieces import list_pieces  # reads YAML, which other commands need not

    registries = read_registries()
    families = [(f, [method for _, method in registries[f.registry]]) for f in FAMILIES]
    pieces = list_pieces()
    names = [name.removeprefix(PREFIX).removesuffix(".yaml").lower() for name in args.names]
    known = [method.name for _, methods in families for method in methods]
    known += [piece.name for piece in pieces]
    for name in names:
        if name not in map(str.lower, known):
            raise UserError(f"There is no method '{name}'. {suggest(name, set(known))}")
    if names:
        families = [(f, [m for m in methods if m.name in names]) for f, methods in families]
        pieces = [piece for piece in pieces if piece.name.lower() in names]
    if args.json:
        print_json(_as_json(families, pieces))
        return
    for family, methods in families:
        if methods:
            _print_family(family, methods, explained=bool(names))
    if not names:
        _print_switches()
    if pieces:
        _print_pieces(pieces, explained=bool(names))
    if not names:
        print(
            "'imbdet methods NAME' explains the options of a method and shows what a piece sets, "
            "'imbdet\nconfig explain KEY' explains a key."
        )


def _as_json(families: list[tuple[Family, list[Method]]], pieces: "list[Piece]") -> dict[str, Any]:
    return {
        "methods": [
            {
                "kind": _title(family),
                "keys": family.keys,
                "name": method.name,
                "description": method.summary,
                "source": method.source,
                "options": {key.name: key.default for key in _options(family, method)},
                "ranges": {key.name: str(key.range or "") for key in _options(family, method)},
            }
            for family, methods in families
            for method in methods
        ],
        "pieces": [piece._asdict() for piece in pieces],
    }


def _title(family: Family) -> str:
    return read_registries()[family.registry].title


def _options(family: Family, method: Method) -> list[Option]:
    return list(option_keys(family.nodes[0], method))


def _print_family(family: Family, methods: list[Method], *, explained: bool) -> None:
    print(f"{_title(family)}: {', of the RPN '.join(family.keys)}")
    for method in methods:
        _print_entry(method.name, f"{method.summary} {method.source}")
        for key in _options(family, method):
            admitted = f" ({key.range})" if key.range else ""
            print(f"{_INDENT}{key.name}: {key.default}{admitted}")
            if explained:
                _print_text(f"{key.meaning}.")
    print()


def _print_switches() -> None:
    print("Beside them")
    for key in _SWITCHES:
        print(f"  {key}")
        _print_text(explain_key(key))
    print()


def _print_pieces(pieces: "list[Piece]", *, explained: bool) -> None:
    print(f"Pieces, by the option --config-file {pieces[0].address} or in _BASE_")
    for piece in pieces:
        _print_entry(piece.name, piece.description)
        for key, value in piece.keys.items() if explained else ():
            print(f"{_INDENT}{key}: {value}")
    print()


def _print_text(text: str) -> None:
    print(textwrap.fill(text, _WIDTH, initial_indent=_INDENT, **_HANGING))


def _print_entry(name: str, text: str) -> None:
    line = f"{name:23} {text}".rstrip()
    print(textwrap.fill(line, _WIDTH, initial_indent="  ", **_HANGING))


_INDENT = " " * 26
_HANGING = {"subsequent_indent": _INDENT, "break_long_words": False, "break_on_hyphens": False}
