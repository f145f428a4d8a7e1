"""What the classes of a trained detector are called."""

import logging
from collections.abc import Iterable
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from imbdet.config_files.keys import get_key
from imbdet.data.summary import DataSummary, category_ids_of
from imbdet.errors import UserError
from imbdet.modeling.detector_kind import num_classes_key

logger = logging.getLogger(__name__)


def find_categories(cfg: CfgNode, learned: DataSummary | None) -> list[dict[str, Any]]:
    """The detector's classes in their order, as COCO's dicts of "id" and "name".

    They are those that the weights name, or else the data sets of the config; without either they
    are just numbers from 1, with a warning.
    """
    number = get_key(cfg, num_classes_key(cfg))
    if learned is not None and len(learned.classes) == number:
        return _as_categories(learned.category_ids, learned.classes)
    for dataset in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN):
        metadata = MetadataCatalog.get(dataset)
        if metadata.get("thing_classes") is None:
            try:
                DatasetCatalog.get(dataset)  # reads the names into the metadata
            except UserError:
                continue
        names = metadata.get("thing_classes", [])
        if len(names) == number:
            return _as_categories(category_ids_of(dataset, number), names)
    logger.warning(
        "Neither the weights nor the data sets of the config can tell what the classes are called: "
        "they get numbers."
    )
    numbers = range(1, number + 1)
    return _as_categories(numbers, map(str, numbers))


def _as_categories(ids: Iterable[Any], names: Iterable[str]) -> list[dict[str, Any]]:
    return [{"id": i, "name": name} for i, name in zip(ids, names, strict=True)]
