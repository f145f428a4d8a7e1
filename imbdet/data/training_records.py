"""Loads the images of a training: those of all its data sets that have objects."""

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, zip_longest
from typing import NamedTuple

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.data.build import filter_images_with_few_keypoints

from imbdet.config_files.keys import get_key
from imbdet.data.checks import load_dataset
from imbdet.data.class_table import format_class_table
from imbdet.data.objects import classes_of, objects_of
from imbdet.data.proposals import with_proposals
from imbdet.data.summary import DataSummary
from imbdet.data.weights import class_weights, count_objects, weigh_records
from imbdet.errors import UserError
from imbdet.losses import ClassFrequencies
from imbdet.modeling.detector_kind import num_classes_key
from imbdet.wording import counted

logger = logging.getLogger(__name__)


class TrainingData(NamedTuple):
    """The data that a training learns from.

    Attributes:
        records: detectron2's dicts, checked, weighed and each with its "dataset_name"; without
            objects only where DATALOADER.FILTER_EMPTY_ANNOTATIONS is False.
        summary: summary of the data sets, with all of their images.
        class_frequencies: frequencies of the classes in all of these images.
        class_weights: weights of the detector's classes by MODEL.CLASS_WEIGHTS; 1 for classes that
            the data do not have.
    """

    records: list[dict]
    summary: DataSummary
    class_frequencies: ClassFrequencies
    class_weights: list[float]


def load_training_records(cfg: CfgNode) -> TrainingData:
    """The images that a training learns from, of all data sets in DATASETS.TRAIN.

    Args:
        cfg: the config.

    Raises:
        UserError: a data set is wrong, their classes differ, or no image has an object.
    """
    names = cfg.DATASETS.TRAIN
    loaded = [load_dataset(cfg, name, training=True) for name in names]
    require_same_classes(names, zip_longest)
    num_classes = get_key(cfg, num_classes_key(cfg))
    class_frequencies = ClassFrequencies.of(map(classes_of, chain(*loaded)), num_classes)
    summary = DataSummary.of(dict(zip(names, loaded, strict=True)), class_frequencies)
    records = list(
        {**record, "dataset_name": name}
        for name, of_set in zip(names, loaded, strict=True)
        for record in with_proposals(cfg, of_set, name, training=True)
    )
    num_images = len(records)
    if cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
        records = [record for record in records if objects_of(record)]
    if cfg.MODEL.KEYPOINT_ON:
        least = cfg.MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE
        records = filter_images_with_few_keypoints(records, least)
    if not records:
        raise UserError(f"No image of {', '.join(names)} has an object to train on.")
    left_out = num_images - len(records)
    without = f" (left out, without objects: {left_out:,})" if left_out else ""
    counts = count_objects(records, len(summary.classes))
    factors = class_weights(cfg, counts, summary.classes)
    table = format_class_table(counts, summary.classes, factors)
    logger.info(f"{counted(len(records), 'training image')}{without}:\n{table}")
    of_detector = [*factors, *[1.0] * (num_classes - len(factors))]
    return TrainingData(weigh_records(records, factors), summary, class_frequencies, of_detector)


def require_same_classes(names: Sequence[str], pair: Callable[..., Iterable]) -> None:
    """Compare the classes of data sets with those of the first one.

    Args:
        names: names of the data sets.
        pair: ``zip_longest``, or ``zip``, which leaves out classes that only one of them has.

    Raises:
        UserError: a class differs; the message names the first one.
    """
    classes = [MetadataCatalog.get(name).thing_classes for name in names]
    for name, others in zip(names, classes, strict=True):
        for index, (expected, found) in enumerate(pair(classes[0], others)):
            if found != expected:
                raise UserError(
                    f"The data sets must have the same classes in the order of their ids, but "
                    f"class {index} is '{expected or 'nothing'}' in '{names[0]}' and "
                    f"'{found or 'nothing'}' in '{name}'."
                )
