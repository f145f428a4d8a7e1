"""Samplers of the images of an epoch: ``DATALOADER.SAMPLER_TRAIN``."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from detectron2.config import CfgNode

from imbdet.data.epochs import ClassAwareImages, Epochs, RepeatedImages
from imbdet.data.image_periods import ImagePeriods, length_of_period
from imbdet.data.objects import classes_of
from imbdet.data.repeat_factors import by_class, by_data_set, by_instances, by_loss
from imbdet.errors import UserError, suggest
from imbdet.wording import counted

Records = Sequence[Mapping[str, Any]]

# The sampler whose factors come from the ledger of the training itself.
BY_LEDGER = "LedgerTrainingSampler"


def check_sampler(cfg: CfgNode) -> None:
    """Raise UserError unless the sampler exists, with the keys that it reads."""
    name = cfg.DATALOADER.SAMPLER_TRAIN
    if name not in SAMPLERS:
        raise UserError(f"DATALOADER.SAMPLER_TRAIN is {name!r}. {suggest(name, SAMPLERS)}")
    _data_set_factors(cfg)
    if name == "LossTrainingSampler":
        _check_loss_records(cfg)
    if name == BY_LEDGER and not cfg.LEDGER.ENABLED:
        raise UserError(
            f"{name} shows images by the ledger of this training: set LEDGER.ENABLED to True."
        )


def read_sampler(cfg: CfgNode, records: Records) -> Epochs:
    """The epochs of the sampler ``DATALOADER.SAMPLER_TRAIN``.

    Args:
        cfg: the config.
        records: detectron2's dicts, with "dataset_name".

    Raises:
        UserError: the sampler takes no image, or its keys do not fit.
    """
    return SAMPLERS[cfg.DATALOADER.SAMPLER_TRAIN](cfg, records)


def read_periods(cfg: CfgNode, num_images: int) -> ImagePeriods | None:
    """The periods whose factors come from the ledger; None for other samplers.

    Args:
        cfg: the config.
        num_images: number of images.

    Raises:
        UserError: images are read too far ahead.
    """
    if cfg.DATALOADER.SAMPLER_TRAIN != BY_LEDGER:
        return None
    period = cfg.LEDGER.FEEDBACK.PERIOD
    length = length_of_period(period, num_images, cfg.SOLVER.IMS_PER_BATCH)
    return ImagePeriods(num_images, length, cfg.DATALOADER.NUM_WORKERS)


def _all(cfg: CfgNode, records: Records) -> Epochs:
    return RepeatedImages(np.ones(len(records)))


def _subset(cfg: CfgNode, records: Records) -> Epochs:
    ratio = cfg.DATALOADER.RANDOM_SUBSET_RATIO
    size = int(len(records) * ratio)
    if not 0 < size <= len(records):
        images = counted(len(records), "image")
        raise UserError(
            f"DATALOADER.RANDOM_SUBSET_RATIO is {ratio}: of {images} it must take at least one and "
            "at most all."
        )
    return RepeatedImages(np.ones(len(records)), size)


def _repeat_classes(cfg: CfgNode, records: Records) -> Epochs:
    return RepeatedImages(_by_class(cfg, records))


def _repeat_instances(cfg: CfgNode, records: Records) -> Epochs:
    return RepeatedImages(by_instances(records, cfg.DATALOADER.REPEAT_THRESHOLD))


def _repeat_data_sets(cfg: CfgNode, records: Records) -> Epochs:
    repeats = by_data_set(records, _data_set_factors(cfg))
    if not repeats.any():
        raise UserError("DATASETS.TRAIN_REPEAT_FACTOR shows no image: give a data set more than 0.")
    return RepeatedImages(repeats)


def _repeat_classes_of_data_sets(cfg: CfgNode, records: Records) -> Epochs:
    """Repeat images by classes, counted in each data set, and by the factors of data sets.

    The least repeated image is shown once, as in detectron2's main branch.
    """
    of_classes = np.ones(len(records), np.float32)
    for name in cfg.DATASETS.TRAIN:
        rows = [row for row, record in enumerate(records) if record["dataset_name"] == name]
        of_classes[rows] = _by_class(cfg, [records[row] for row in rows])
    repeats = of_classes * by_data_set(records, _data_set_factors(cfg))
    least = repeats.min()
    if least == 0:
        raise UserError(
            "DATASETS.TRAIN_REPEAT_FACTOR has a factor of 0, in relation to which "
            "WeightedCategoryTrainingSampler repeats the others: leave the data set out of "
            "DATASETS.TRAIN."
        )
    return RepeatedImages(repeats / least)


def _class_aware(cfg: CfgNode, records: Records) -> Epochs:
    images: dict[int, list[int]] = {}
    for row, record in enumerate(records):
        for number in sorted(set(classes_of(record))):
            images.setdefault(number, []).append(row)
    if not images:
        raise UserError("ClassAwareTrainingSampler needs objects, and the training data have none.")
    return ClassAwareImages([np.array(images[number]) for number in sorted(images)], len(records))


def _repeat_by_loss(cfg: CfgNode, records: Records) -> Epochs:
    node = cfg.DATALOADER
    return RepeatedImages(by_loss(records, node.LOSS_RECORDS, node.MAX_REPEATS))


def _by_class(cfg: CfgNode, records: Records) -> np.ndarray:
    node = cfg.DATALOADER
    return by_class(records, node.REPEAT_THRESHOLD, sqrt=node.REPEAT_SQRT)


def _data_set_factors(cfg: CfgNode) -> dict[str, float]:
    key, factors = "DATASETS.TRAIN_REPEAT_FACTOR", {}
    for pair in cfg.DATASETS.TRAIN_REPEAT_FACTOR:
        if len(pair) != 2 or not isinstance(pair[1], int | float) or not 0 <= pair[1] < np.inf:
            raise UserError(
                f"{key} has {pair!r}: write pairs of a data set and a number of at least 0, such "
                "as ('my_train', 2.0)."
            )
        name, factor = pair
        if name not in cfg.DATASETS.TRAIN:
            raise UserError(
                f"{key} names {name!r}, which DATASETS.TRAIN does not. "
                f"{suggest(str(name), cfg.DATASETS.TRAIN)}"
            )
        factors[name] = float(factor)
    return factors


def _check_loss_records(cfg: CfgNode) -> None:
    run = cfg.DATALOADER.LOSS_RECORDS
    if not run:
        raise UserError(
            "LossTrainingSampler shows images by the losses that an earlier training recorded: set "
            "DATALOADER.LOSS_RECORDS to its OUTPUT_DIR."
        )
    if os.path.realpath(run) == os.path.realpath(cfg.OUTPUT_DIR):
        raise UserError(
            f"DATALOADER.LOSS_RECORDS is {run!r}, the OUTPUT_DIR of this training, whose records "
            "change while it runs: name another run."
        )


SAMPLERS: Mapping[str, Callable[[CfgNode, Records], Epochs]] = {
    "TrainingSampler": _all,
    "RandomSubsetTrainingSampler": _subset,
    "RepeatFactorTrainingSampler": _repeat_classes,
    "WeightedTrainingSampler": _repeat_data_sets,
    "WeightedCategoryTrainingSampler": _repeat_classes_of_data_sets,
    "InstanceAwareTrainingSampler": _repeat_instances,
    "ClassAwareTrainingSampler": _class_aware,
    "LossTrainingSampler": _repeat_by_loss,
    BY_LEDGER: _all,  # replaced by the epochs of its periods
}
