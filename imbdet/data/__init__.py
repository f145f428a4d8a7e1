"""Data sets: registering them from config keys, checking them, and the loaders over them."""

from imbdet import compat  # noqa: F401  (before detectron2)
from imbdet.data.batches import TrainLoader
from imbdet.data.checks import load_dataset
from imbdet.data.coco import register_datasets
from imbdet.data.loader import (
    build_test_loader,
    build_train_loader,
    check_data_keys,
    check_test_sets,
    require_equal_shares,
)
from imbdet.data.workers import explained_worker_deaths

__all__ = [
    "TrainLoader",
    "build_test_loader",
    "build_train_loader",
    "check_data_keys",
    "check_test_sets",
    "explained_worker_deaths",
    "load_dataset",
    "register_datasets",
    "require_equal_shares",
]
