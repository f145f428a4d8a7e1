"""The data loaders of training and test."""

import logging
from collections.abc import Iterable
from itertools import zip_longest

from detectron2.config import CfgNode
from detectron2.data import (
    DatasetFromList,
    DatasetMapper,
    MetadataCatalog,
    build_detection_test_loader,
    build_detection_train_loader,
)
from detectron2.data.build import (
    filter_images_with_few_keypoints,
    filter_images_with_only_crowd_annotations,
)
from torch.utils.data import DataLoader

from imbdet.data.augmentation import build_train_mapper
from imbdet.data.checks import load_dataset, skips_broken_images
from imbdet.data.class_table import format_class_table
from imbdet.data.mappers import SkippingMapper, StrictMapper
from imbdet.errors import UserError

logger = logging.getLogger(__name__)


def build_train_loader(cfg: CfgNode) -> Iterable[list[dict]]:
    """The endless loader over the data sets in DATASETS.TRAIN, as detectron2 builds it.

    Raises:
        UserError: a data set or a key is wrong. While iterating: an image is broken.
    """
    dataset = DatasetFromList(_load_training_records(cfg), copy=False)
    mapper = build_train_mapper(cfg)
    if skips_broken_images(cfg):
        mapper = SkippingMapper(mapper, dataset)
    else:
        advice = "To train without broken images, set DATASETS.BROKEN_IMAGES to 'skip'."
        mapper = StrictMapper(mapper, dataset, advice=advice)
    try:
        return build_detection_train_loader(cfg, mapper=mapper, dataset=dataset)
    except ValueError as error:
        if "training sampler" not in str(error):
            raise
        raise UserError(f"DATALOADER.SAMPLER_TRAIN: {error}") from error


def build_test_loader(cfg: CfgNode, name: str) -> DataLoader:
    """The loader that yields each image of a data set once, as detectron2 builds it.

    Raises:
        UserError: the data set is wrong. While iterating: an image is broken.
    """
    dataset = DatasetFromList(load_dataset(cfg, name), copy=False)
    mapper = StrictMapper(DatasetMapper(cfg, is_train=False), dataset)
    return build_detection_test_loader(
        dataset, mapper=mapper, num_workers=cfg.DATALOADER.NUM_WORKERS
    )


def _load_training_records(cfg: CfgNode) -> list[dict]:
    names = cfg.DATASETS.TRAIN
    if not names:
        raise UserError("DATASETS.TRAIN is empty: name at least one data set to train on.")
    records = [record for name in names for record in load_dataset(cfg, name, training=True)]
    classes = _require_same_classes(names)
    if cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
        records = filter_images_with_only_crowd_annotations(records)
    if cfg.MODEL.KEYPOINT_ON:
        least = cfg.MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE
        records = filter_images_with_few_keypoints(records, least)
    if not records:
        raise UserError(f"No image of {', '.join(names)} has an object to train on.")
    logger.info(f"Training on {len(records):,} images:\n{format_class_table(records, classes)}")
    return records


def _require_same_classes(names: tuple[str, ...]) -> list[str]:
    first, *others = names
    classes = MetadataCatalog.get(first).thing_classes
    for name in others:
        pairs = zip_longest(classes, MetadataCatalog.get(name).thing_classes, fillvalue="nothing")
        for index, (expected, found) in enumerate(pairs):
            if found != expected:
                raise UserError(
                    f"The data sets in DATASETS.TRAIN must have the same classes, but class "
                    f"{index} is '{expected}' in '{first}' and '{found}' in '{name}'."
                )
    return classes
