"""In how many training images the classes of a detector are, where no training tells."""

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

# All of its classes are in more than 100 images, and its file takes half a minute to read.
_ALL_FREQUENT, _IMAGES = "coco_2017_train", 100


def find_training_images(cfg: CfgNode, learned: DataSummary | None) -> dict[str, int]:
    """The number of training images with each class, by name, to evaluate weights.

    Weights of an earlier version, or of other programs, do not say. Then the annotations of
    DATASETS.TRAIN are read, if they are there, but not for LVIS alone, whose test sets need none,
    and not those of COCO where all of its classes are frequent.

    Args:
        cfg: the config.
        learned: what the weights say of the data they learned from.

    Returns:
        Empty where it is not known.
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
