"""``imbdet advise``."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import shtab

from imbdet.cli.arguments import add_command, add_config_files, add_overrides
from imbdet.errors import UserError
from imbdet.startup import quick_imports

if TYPE_CHECKING:
    from imbdet.advice.findings import Finding

# Of somebody who has annotations alone.
_DEFAULT = "imbdet://COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"
_NAME = "annotations"


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    text = "what the training data are like, and which methods are meant for that"
    parser = add_command(commands, "advise", text, run)
    add_config_files(parser)
    action = parser.add_argument(
        "--annotations",
        metavar="FILE",
        help="a file in COCO's format in place of the config's data sets (default config: that of "
        "a Faster R-CNN for COCO)",
    )
    action.complete = shtab.FILE
    action = parser.add_argument(
        "--run", dest="ledger", metavar="DIR", help="OUTPUT_DIR of a training with a ledger"
    )
    action.complete = shtab.DIRECTORY
    action = parser.add_argument(
        "--space",
        metavar="FILE",
        help="write a search space: the plain config, and each method that is meant for the data",
    )
    action.complete = shtab.FILE
    add_overrides(parser, "INPUT.MIN_SIZE_TRAIN '(480,)'")


def run(args: argparse.Namespace) -> None:
    """Look at the data, and print what follows.

    Raises:
        UserError: the config, the data, the ledger or the file of the space cannot be used.
    """
    if args.space and args.annotations:
        raise UserError(
            "--space is for a config that can be trained and tested: leave out --annotations."
        )
    if not (args.config_file or args.annotations):
        raise UserError("Name the config that you are about to train: --config-file FILE.")
    with quick_imports():
        from imbdet.config import load_config

        files, opts = args.config_file or [_DEFAULT], [*args.opts]
        if args.annotations:
            opts += _keys_of(args.annotations)
        cfg = load_config(*files, opts=opts)
        from imbdet.advice.description import describe
        from imbdet.advice.findings import find
        from imbdet.advice.ledger_doubts import read_ledger_doubts
        from imbdet.advice.recommendation import recommend
        from imbdet.engine.setup import check_config
        from imbdet.surveying import kind_of, survey_config

    check_config(cfg)
    ledger = read_ledger_doubts(args.ledger) if args.ledger else None
    survey = survey_config(cfg, ledger)
    findings = find(survey)
    print(*describe(survey), "", *recommend(findings, kind_of(cfg)), sep="\n")
    if args.space:
        _write_space(Path(args.space), files, opts, findings)


def _keys_of(file: str) -> list[str]:
    """Those of a data set to train on, and none to test on."""
    entry = {"NAME": _NAME, "JSON": file, "IMAGES": str(Path(file).parent)}
    return ["DATASETS.COCO", repr([entry]), "DATASETS.TRAIN", repr((_NAME,)), "DATASETS.TEST", "()"]


def _write_space(path: Path, files: list[str], opts: list[str], findings: "list[Finding]") -> None:
    from imbdet.advice.search_space import write_space
    from imbdet.surveying import usable_choices

    choices, refused = usable_choices(files, opts, findings)
    overrides = dict(zip(opts[::2], opts[1::2], strict=True))
    write_space(path, files, overrides, choices)
    print(f"\n'{path}' has the plain config and {', '.join(choices) or 'nothing else'}.")
    for name, reason in refused.items():
        print(f"Left out: {name}, {reason}")
