"""Detectron2's catalogs of data sets."""

from collections.abc import Callable
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog


def replace_dataset(name: str, load: Callable[[], list[dict]], **metadata: Any) -> None:
    """Register a data set, in place of an earlier one of the same name.

    Args:
        name: name in DATASETS.TRAIN or DATASETS.TEST.
        load: function that returns detectron2's dicts.
        metadata: metadata of the data set, such as ``evaluator_type``.
    """
    DatasetCatalog.pop(name, None)
    DatasetCatalog.register(name, load)
    # The metadata go too: a Metadata object refuses to have a value changed.
    MetadataCatalog.pop(name, None)
    MetadataCatalog.get(name).set(**metadata)
