"""``imbdet forecast``: from a space of rules and a checkpoint to a ranking of the rules."""

import argparse
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from imbdet.alignment.entries import IOU_THRESHOLDS
from imbdet.analysis.analysed_images import build_loader, load_dataset_dicts
from imbdet.analysis.frozen_detector import FrozenDetector
from imbdet.data.training_records import load_training_records
from imbdet.engine import setup_frozen
from imbdet.engine.progress import with_progress
from imbdet.errors import UserError
from imbdet.forecast.gradients import (
    ALL,
    NUM_GROUPS,
    batches_of,
    update_gradients,
    validation_gradients,
)
from imbdet.forecast.ranking import Forecast, rank_rules
from imbdet.forecast.results import format_table, sentences, write_results
from imbdet.forecast.rules import Rule, build_rules
from imbdet.search.space import Space
from imbdet.wording import counted

logger = logging.getLogger(__name__)


def forecast(args: argparse.Namespace, space: Space) -> None:
    """Rank the rules of a space by the gradients of a frozen detector's last layer.

    Args:
        args: arguments ``weights``, ``output``, ``num_images`` and ``opts`` of ``imbdet forecast``.
        space: space with a rule for each method; learning rates, seeds and other settings of
            trainings do not count.

    Raises:
        UserError: the space, a config, the weights, a data set or the folder cannot be used.
    """
    arms = [space.arms[names[0]] for names in space.methods.values()]
    if len(arms) < 2:
        raise UserError(
            f"'{space.path}' has one rule alone, {arms[0].method}: there is nothing to rank."
        )
    first = argparse.Namespace(
        config_file=arms[0].files,
        opts=[*arms[0].opts, *args.opts],
        weights=args.weights,
        output=args.output,
    )
    cfg = setup_frozen(first, "forecast")
    _refuse_config(cfg)
    data = load_training_records(cfg)
    validation = load_dataset_dicts(cfg, cfg.DATASETS.TEST[0], None)
    training = _draw(data.records, cfg, args.num_images, "DATASETS.TRAIN")
    validation = _draw(validation, cfg, args.num_images, "DATASETS.TEST")
    detector = FrozenDetector(cfg)
    rules = build_rules(arms, args.opts, detector, cfg, data.class_frequencies)
    logger.info(
        f"Forecasting {counted(len(rules), 'rule')} by {counted(len(training), 'training image')} "
        f"and {counted(len(validation), 'validation image')}."
    )
    rows = _rank(rules, detector, cfg, training, validation)
    about = {
        "weights": cfg.MODEL.WEIGHTS,
        "training": {"datasets": list(cfg.DATASETS.TRAIN), "images": len(training)},
        "validation": {"dataset": cfg.DATASETS.TEST[0], "images": len(validation)},
        "first": arms[0].method,
    }
    said = sentences(rows, arms[0].method)
    write_results(Path(cfg.OUTPUT_DIR), rows, about, said)
    print(format_table(rows))
    print("\n" + "\n".join(said))


def _refuse_config(cfg: CfgNode) -> None:
    if cfg.MODEL.LOAD_PROPOSALS:
        raise UserError(
            "MODEL.LOAD_PROPOSALS is True, but a forecast knows only detectors that make their own "
            "proposals: set it to False."
        )
    if not cfg.MODEL.WEIGHTS:
        raise UserError(
            "MODEL.WEIGHTS is empty: name a checkpoint by --weights, since a detector that has "
            "learnt nothing forecasts nothing."
        )
    for key in ("TRAIN", "TEST"):
        if not cfg.DATASETS[key]:
            raise UserError(
                f"DATASETS.{key} is empty: a forecast needs training images for the rules, and "
                "validation images to judge them by."
            )


def _draw(images: Sequence[dict], cfg: CfgNode, wanted: int, key: str) -> list[dict]:
    """Draw images in an order that is the same at every call, whole batches for each group.

    Raises:
        UserError: there are too few of them.
    """
    of_groups = cfg.SOLVER.IMS_PER_BATCH * NUM_GROUPS
    number = min(wanted, len(images)) // of_groups * of_groups
    if number == 0:
        raise UserError(
            f"An interval needs {NUM_GROUPS} batches, {counted(of_groups, 'image')} by "
            f"SOLVER.IMS_PER_BATCH {cfg.SOLVER.IMS_PER_BATCH}, but {key} has "
            f"{counted(len(images), 'image')}, of which --num-images asks for "
            f"{min(wanted, len(images)):,}: raise --num-images or lower SOLVER.IMS_PER_BATCH."
        )
    order = np.random.default_rng(0).permutation(len(images))
    return [images[i] for i in order[:number]]


def _rank(
    rules: Sequence[Rule],
    detector: FrozenDetector,
    cfg: CfgNode,
    training: Sequence[dict],
    validation: Sequence[dict],
) -> list[Forecast]:
    """Compare the updates of all rules by the training images with those of validation.

    Raises:
        UserError: no predicted box of the validation images is right, by which to judge updates.
    """
    targets = validation_gradients(detector, _batches(cfg, validation, "validation images"))
    if not targets["ranking"][ALL].any():
        raise UserError(
            f"Of {counted(len(validation), 'validation image')} no predicted box reaches an IoU of "
            f"{IOU_THRESHOLDS[0]} with an object: forecast from a later checkpoint than "
            f"'{cfg.MODEL.WEIGHTS}', or by more images (--num-images)."
        )
    updates = update_gradients(
        rules, detector, _batches(cfg, training, "training images"), max(cfg.SEED, 0)
    )
    return rank_rules(updates, targets, _class_columns(cfg, validation))


def _batches(cfg: CfgNode, images: Sequence[dict], title: str) -> Iterator[list[dict]]:
    loader = with_progress(build_loader(cfg, images), title)
    return batches_of(loader, cfg.SOLVER.IMS_PER_BATCH)


def _class_columns(cfg: CfgNode, images: Sequence[dict]) -> dict[int, str]:
    """Names of the classes that have objects in the images, by their number."""
    classes = MetadataCatalog.get(cfg.DATASETS.TEST[0]).thing_classes
    present = {note["category_id"] for image in images for note in image["annotations"]}
    return {number: name for number, name in enumerate(classes) if number in present}
