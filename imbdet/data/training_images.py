"""The numbers of training images with each class, for evaluations outside of a training."""

import logging
from collections import Counter

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from imbdet.data.checks import check_classes, read_dataset
from imbdet.data.coco import evaluator_type_of
from imbdet.data.objects import classes_of
from imbdet.data.summary import DataSummary
from imbdet.errors import UserError
from imbdet.losses import ClassFrequencies

logger = logging.getLogger(__name__)

# A data set whose classes are all in more than 100 images; its file takes half a minute to read.
_ALL_FREQUENT, _IMAGES = "coco_2017_train", 100


def find_training_images(cfg: CfgNode, learned: DataSummary | None) -> dict[str, int]:
    """The number of training images with each class, by name, to evaluate weights.

    Weights of an earlier version, or of other programs, lack these numbers. Then the annotations of
    DATASETS.TRAIN are read, if they exist, except where all test sets are LVIS's, which need none,
    and for COCO where all of its classes are frequent.

    Args:
        cfg: the config.
        learned: summary of the data that the weights learned from, if they have one.

    Returns:
        The numbers; empty where they are not known.
    """
    if learned is not None and learned.images_of_class:
        return learned.training_images
    if all(evaluator_type_of(name) == "lvis" for name in cfg.DATASETS.TEST):
        return {}
    if _ALL_FREQUENT in cfg.DATASETS.TRAIN and max(cfg.TEST.FREQUENCY_BOUNDS) <= _IMAGES:
        return {}
    images: Counter[str] = Counter()
    try:
        for name in cfg.DATASETS.TRAIN:
            records = read_dataset(name)
            check_classes(cfg, name, records)
            classes = MetadataCatalog.get(name).thing_classes
            known = ClassFrequencies.of(map(classes_of, records), len(classes)).images.tolist()
            images.update(dict(zip(classes, known, strict=True)))
    except UserError as error:
        logger.info(f"APr, APc and APf are left out, as the training data are not known: {error}")
        return {}
    return dict(images)
