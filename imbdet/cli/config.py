"""``imbdet config``."""

import argparse
import textwrap
from typing import Any

import shtab

from imbdet.cli.arguments import add_command, add_config_files, add_overrides
from imbdet.errors import UserError
from imbdet.startup import quick_imports
from imbdet.wording import counted

_WIDTH = 100


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    text = "explain keys, show what a config changes, check it"
    parser = commands.add_parser("config", help=text, description=text, allow_abbrev=False)
    questions = parser.add_subparsers(required=True, metavar="QUESTION")
    _add_explain(questions)
    _add_diff(questions)
    _add_check(questions)


def _add_explain(questions: argparse._SubParsersAction) -> None:
    text = "what a key, or each of a group of keys, means, and its default"
    parser = add_command(questions, "explain", text, explain)
    parser.add_argument("keys", nargs="+", metavar="KEY", help="such as MODEL.CLS_LOSS.AP")


def _add_diff(questions: argparse._SubParsersAction) -> None:
    text = "the keys in which a config differs from its base"
    parser = add_command(questions, "diff", text, diff)
    add_config_files(parser, required=True)
    action = parser.add_argument(
        "--base",
        metavar="FILE",
        help="another YAML file (default: the _BASE_ of the first config file, or the defaults "
        "where it has none)",
    )
    action.complete = shtab.FILE
    add_overrides(parser, "MODEL.CLS_LOSS.NAME ap")


def _add_check(questions: argparse._SubParsersAction) -> None:
    text = "whether a training would start: all that can be known without its data"
    parser = add_command(questions, "check", text, check)
    add_config_files(parser)
    add_overrides(parser, "MODEL.CLS_LOSS.NAME ap")


def explain(args: argparse.Namespace) -> None:
    """Print meanings and defaults.

    Raises:
        UserError: there is no such key.
    """
    with quick_imports():
        from imbdet.config import load_config
        from imbdet.config.comments import explain_key
        from imbdet.keys import leaves, suggest_key

    cfg = load_config()
    defaults = dict(leaves(cfg))
    for key in args.keys:
        group = [other for other in defaults if other == key or other.startswith(f"{key}.")]
        if not group:
            raise UserError(f"Unknown key '{key}'. {suggest_key(cfg, key)}")
        said = ""
        for other in group:
            print(f"{other}: {_write(defaults[other])}")
            explanation = explain_key(other) or "Not explained where it is defined."
            if explanation != said:  # neighbours may share it
                print(textwrap.indent(textwrap.fill(explanation, _WIDTH - 4), " " * 4))
            said = explanation


def diff(args: argparse.Namespace) -> None:
    """Print the keys that differ, with both values."""
    with quick_imports():
        from imbdet.config import load_config
        from imbdet.config.yaml_file import find_bases
        from imbdet.keys import changed_keys

    cfg = load_config(*args.config_file, opts=args.opts)
    bases = find_bases(args.config_file[0]) if args.base is None else [args.base]
    changes = changed_keys(cfg, load_config(*bases))
    others = " and ".join(bases) or "the defaults"
    print(f"{counted(len(changes), 'key')} other than in {others}:")
    for key, (old, new) in changes.items():
        print(f"  {key}: {_write(old)} -> {_write(new)}")


def check(args: argparse.Namespace) -> None:
    """Check a config, and build its model.

    Raises:
        UserError: a training would refuse it.
    """
    with quick_imports():
        from imbdet.config import load_config

        cfg = load_config(*args.config_file, opts=args.opts)
        from imbdet.engine import check_training
        from imbdet.engine.setup import check_config

    check_config(cfg)
    model = check_training(cfg)
    number = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"A training would start: {type(model).__name__} with {number / 1e6:.1f} million "
        "parameters."
    )


def _write(value: Any) -> str:
    return repr(value) if isinstance(value, str) else str(value)
