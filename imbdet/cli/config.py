"""``imbdet config``."""

import argparse
import textwrap
from typing import Any

import shtab

from imbdet.cli.arguments import (
    add_command,
    add_config_files,
    add_json,
    add_overrides,
    print_json,
)
from imbdet.config_files.keys import changed_keys, leaves, suggest_key
from imbdet.errors import UserError
from imbdet.programs.startup import quick_imports
from imbdet.reference.comments import explain_key, range_of
from imbdet.reference.default_values import DETECTRON2_KEYS, default_config
from imbdet.reference.sources import read_source
from imbdet.wording import counted

_WIDTH = 100


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    text = "explain keys, show what a config changes, check it"
    parser = commands.add_parser("config", help=text, description=text)
    questions = parser.add_subparsers(required=True, metavar="QUESTION")
    _add_explain(questions)
    _add_diff(questions)
    _add_check(questions)


def _add_explain(questions: argparse._SubParsersAction) -> None:
    text = "what a key, or each of a group of keys, means, and its default"
    parser = add_command(questions, "explain", text, explain)
    add_json(parser)
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
    add_json(parser)
    add_overrides(parser, "MODEL.CLS_LOSS.NAME ap")


def _add_check(questions: argparse._SubParsersAction) -> None:
    text = "whether a training would start: all that can be known without its data"
    parser = add_command(questions, "check", text, check)
    add_config_files(parser)
    add_json(parser)
    add_overrides(parser, "MODEL.CLS_LOSS.NAME ap")


def explain(args: argparse.Namespace) -> None:
    """Print the meanings and defaults of keys.

    Raises:
        UserError: there is no such key.
    """
    defaults, answer = dict(leaves(default_config())), {}
    for key in args.keys:
        group = [other for other in defaults if other == key or other.startswith(f"{key}.")]
        if not group and not read_source(*DETECTRON2_KEYS):
            raise UserError(
                f"'{key}' is no key of imbdet, and those of detectron2, which is not installed, "
                "are not known."
            )
        if not group:
            raise UserError(f"Unknown key '{key}'. {suggest_key(default_config(), key)}")
        for other in group:
            answer[other] = {
                "default": defaults[other],
                "range": range_of(other),
                "meaning": explain_key(other),
            }
    if args.json:
        print_json(answer)
        return
    said = ""
    for key, about in answer.items():
        admitted = about["range"] and f" ({about['range']})"
        print(f"{key}: {_write(about['default'])}{admitted}")
        meaning = about["meaning"] or "Not explained where it is defined."
        if meaning != said:  # neighbours may share it
            print(textwrap.indent(textwrap.fill(meaning, _WIDTH - 4), " " * 4))
        said = meaning


def diff(args: argparse.Namespace) -> None:
    """Print the keys that differ, with both values."""
    with quick_imports():
        from imbdet.config import load_config
        from imbdet.config_files.yaml_file import find_bases

    cfg = load_config(*args.config_file, opts=args.opts)
    bases = find_bases(args.config_file[0]) if args.base is None else [args.base]
    changes = changed_keys(cfg, load_config(*bases))
    if args.json:
        print_json({"bases": bases, "keys": changes})
        return
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
    name = type(model).__name__
    number = sum(parameter.numel() for parameter in model.parameters())
    if args.json:
        print_json({"model": name, "parameters": number})
        return
    print(
        f"A training would start, if its data are right, which were not looked at: {name} with "
        f"{number / 1e6:.1f} million parameters."
    )


def _write(value: Any) -> str:
    return repr(value) if isinstance(value, str) else str(value)
