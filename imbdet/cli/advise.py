"""``imbdet advise``."""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import shtab

from imbdet.cli.arguments import (
    add_command,
    add_config_files,
    add_overrides,
    at_least_1,
)
from imbdet.errors import UserError
from imbdet.programs.startup import quick_imports

if TYPE_CHECKING:
    from detectron2.config import CfgNode

    from imbdet.advice.findings import Finding
    from imbdet.advice.ledger_doubts import LedgerDoubts

# The config for annotations alone.
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
        "--run",
        dest="run_folder",
        type=Path,
        metavar="DIR",
        help="OUTPUT_DIR of a training, whose ledger and last checkpoint are asked (default "
        "config: its own)",
    )
    action.complete = shtab.DIRECTORY
    action = parser.add_argument(
        "--weights",
        metavar="FILE",
        help="another checkpoint of the run or, without a run, of the config",
    )
    action.complete = shtab.FILE
    parser.add_argument(
        "--num-images",
        type=at_least_1,
        default=50,
        metavar="N",
        help="a checkpoint looks at N training images (default: 50)",
    )
    action = parser.add_argument(
        "--space",
        metavar="FILE",
        help="write a search space: the plain config, and each method that is meant for the data",
    )
    action.complete = shtab.FILE
    add_overrides(parser, "INPUT.MIN_SIZE_TRAIN '(480,)'")


def run(args: argparse.Namespace) -> None:
    """Survey the data, and print findings and recommendations.

    Raises:
        UserError: the config, the data, the run, the checkpoint or the file of the space cannot be
            used.
    """
    if args.space and args.annotations:
        raise UserError(
            "--space is for a config that can be trained and tested: leave out --annotations."
        )
    if args.annotations and not Path(args.annotations).is_file():
        raise UserError(
            f"There is no file '{args.annotations}': --annotations names one in COCO's format."
        )
    if not (args.config_file or args.annotations or args.run_folder):
        raise UserError("Name the config that you are about to train: --config-file FILE.")
    with quick_imports():
        from imbdet.config import load_config

        files, opts = args.config_file or [_default_config(args)], [*args.opts]
        if args.annotations:
            opts += _keys_of(args.annotations)
        cfg = load_config(*files, opts=opts)
        from imbdet.advice.description import describe
        from imbdet.advice.findings import find
        from imbdet.advice.recommendation import recommend
        from imbdet.engine.setup import check_config
        from imbdet.surveying import config_of_run, kind_of, look_at_checkpoint, survey_config

    check_config(cfg)
    ledger, weights = _asked(args)
    survey = survey_config(cfg, ledger, is_own=not args.annotations)
    if weights:
        own = config_of_run(args.run_folder, opts, cfg) if args.run_folder else cfg
        survey = survey.with_checkpoint(*look_at_checkpoint(own, weights, args.num_images))
    findings = find(survey)
    print(*describe(survey), "", *recommend(findings, kind_of(cfg)), sep="\n")
    if args.space:
        _write_space(Path(args.space), files, opts, cfg, findings)


def _default_config(args: argparse.Namespace) -> str:
    return str(args.run_folder / "config.yaml") if args.run_folder else _DEFAULT


def _asked(args: argparse.Namespace) -> tuple["LedgerDoubts | None", str | None]:
    """The doubts of a ledger, and the checkpoint to run, as far as there are any."""
    from imbdet.advice.ledger_doubts import read_ledger_doubts
    from imbdet.run_files.ledger_tables import has_ledger
    from imbdet.surveying import find_checkpoint

    run: Path | None = args.run_folder
    if run is None:
        return None, args.weights
    weights = args.weights or find_checkpoint(run)
    if not (weights or has_ledger(run)):
        raise UserError(
            f"'{run}' has neither a checkpoint nor a ledger: name the OUTPUT_DIR of a training "
            "after its first checkpoint."
        )
    return read_ledger_doubts(run) if has_ledger(run) else None, weights


def _keys_of(file: str) -> list[str]:
    """The keys of a data set for training, without one for testing."""
    entry = {"NAME": _NAME, "JSON": file, "IMAGES": str(Path(file).parent)}
    return ["DATASETS.COCO", repr([entry]), "DATASETS.TRAIN", repr((_NAME,)), "DATASETS.TEST", "()"]


def _write_space(
    path: Path, files: list[str], opts: list[str], cfg: "CfgNode", findings: "list[Finding]"
) -> None:
    from imbdet.advice.search_space import SEEDS, write_space
    from imbdet.search.halving import default_rungs, good_budget
    from imbdet.surveying import find_final, usable_choices

    choices, refused = usable_choices(files, opts, findings)
    overrides = dict(zip(opts[::2], opts[1::2], strict=True))
    final = find_final(cfg)
    write_space(path, files, overrides, choices, final)
    print(f"\n'{path}' has the plain config and {', '.join(choices) or 'nothing else'}.")
    for name, reason in refused.items():
        print(f"Left out: {name}, {reason}")
    if final is None:
        print(
            "Before `imbdet search`, name the data set of its last comparison at the end of the "
            "file."
        )
    if choices:
        rungs = default_rungs(cfg.SOLVER.MAX_ITER, cfg.SOLVER.WARMUP_ITERS)
        budget = good_budget(1 + len(choices), len(SEEDS), rungs)
        command = ["imbdet", "search", "--space", str(path), "--output", "output/search"]
        print(f"To find out which helps: {shlex.join([*command, '--iterations', str(budget)])}")
