"""Detectron2's catalogs of data sets, and the folder where it looks for its own."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog


def datasets_root() -> Path:
    """The folder that ``DETECTRON2_DATASETS`` names, by default "datasets", as in detectron2."""
    return Path(os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets")))


def replace_dataset(name: str, load: Callable[[], list[dict]], **metadata: Any) -> None:
    """Register a data set, in place of an earlier one of the same name.

    Args:
        name: in DATASETS.TRAIN or DATASETS.TEST.
        load: returns detectron2's dicts.
        metadata: such as ``evaluator_type``.
    """
    DatasetCatalog.pop(name, None)
    DatasetCatalog.register(name, load)
    # The metadata go too: a Metadata object refuses to have a value changed.
    MetadataCatalog.pop(name, None)
    MetadataCatalog.get(name).set(**metadata)
