"""Builds the data loaders of training and test."""

import functools
from collections.abc import Callable

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList, DatasetMapper, build_detection_test_loader
from detectron2.utils import comm
from torch.utils.data import DataLoader

from imbdet.data.augmentation import build_train_mapper
from imbdet.data.batches import TrainLoader
from imbdet.data.broken_images import SkippingMapper, StrictMapper
from imbdet.data.checks import drops_invalid_boxes, load_dataset, skips_broken_images
from imbdet.data.image_samplers import check_sampler, read_periods, read_sampler
from imbdet.data.keypoints import check_keypoint_names
from imbdet.data.order import BatchOrder
from imbdet.data.proposals import with_proposals
from imbdet.data.training_records import load_training_records, require_same_classes
from imbdet.data.weights import read_class_weights
from imbdet.data.workers import leave_stopping_to_parent
from imbdet.errors import UserError
from imbdet.wording import counted


def build_train_loader(cfg: CfgNode) -> TrainLoader:
    """The endless loader over the data sets in DATASETS.TRAIN, by the keys of detectron2's loader.

    With SEED below 0, all processes share a random one.

    Raises:
        UserError: a data set or a key is wrong. While iterating: an image is broken.
    """
    check_data_keys(cfg)
    data = load_training_records(cfg)
    build_order = _plan_order(cfg, data.records)
    dataset = DatasetFromList(data.records, copy=False)
    mapper = build_train_mapper(cfg)
    if skips_broken_images(cfg):
        mapper = SkippingMapper(mapper, dataset)
    else:
        advice = "To train without broken images, set DATASETS.BROKEN_IMAGES to 'skip'."
        mapper = StrictMapper(mapper, dataset, advice=advice)
    seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
    return TrainLoader(
        dataset,
        mapper,
        build_order,
        summary=data.summary,
        class_frequencies=data.class_frequencies,
        class_weights=data.class_weights,
        seed=seed,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        periods=read_periods(cfg, len(data.records)),
    )


def build_test_loader(cfg: CfgNode, name: str) -> DataLoader:
    """The loader that yields each image of a data set once, as detectron2 builds it.

    Raises:
        UserError: the data set is wrong. While iterating: an image is broken.
    """
    check_keypoint_names(cfg)
    records = with_proposals(cfg, load_dataset(cfg, name), name)
    dataset = DatasetFromList(records, copy=False)
    mapper = StrictMapper(DatasetMapper(cfg, is_train=False), dataset)
    loader = build_detection_test_loader(
        dataset, mapper=mapper, num_workers=cfg.DATALOADER.NUM_WORKERS
    )
    loader.worker_init_fn = leave_stopping_to_parent
    return loader


def check_data_keys(cfg: CfgNode) -> None:
    """Refuse values of keys by which :func:`build_train_loader` would fail whatever the data.

    Raises:
        UserError: a key has such a value.
    """
    if not cfg.DATASETS.TRAIN:
        raise UserError(
            "DATASETS.TRAIN is empty: name a data set to train on, or, by --config-file, a config "
            "that does."
        )
    drops_invalid_boxes(cfg)
    skips_broken_images(cfg)
    check_sampler(cfg)
    read_class_weights(cfg)
    check_keypoint_names(cfg)
    build_train_mapper(cfg)


def check_test_sets(cfg: CfgNode) -> None:
    """Refuse, at the start of a training, test sets on which evaluations would fail or mislead.

    The training data must be loaded already.

    Raises:
        UserError: a data set in DATASETS.TEST is wrong, or its classes are not, in their order,
            the first ones of the training data.
    """
    for name in cfg.DATASETS.TEST:
        with_proposals(cfg, load_dataset(cfg, name), name)
        require_same_classes((cfg.DATASETS.TRAIN[0], name), zip)


def require_equal_shares(cfg: CfgNode, num_processes: int) -> None:
    """Raise UserError if the processes cannot have equally many images of a batch."""
    num_images = cfg.SOLVER.IMS_PER_BATCH
    if num_images < 1 or num_images % num_processes != 0:
        raise UserError(
            f"SOLVER.IMS_PER_BATCH is {num_images}, which "
            f"{counted(num_processes, 'process', 'processes')} cannot share equally: set it to a "
            "multiple of their number."
        )


def _plan_order(cfg: CfgNode, records: list[dict]) -> Callable[..., BatchOrder]:
    """A constructor of the order, which lacks only the seed."""
    epochs = read_sampler(cfg, records)
    num_processes = comm.get_world_size()
    require_equal_shares(cfg, num_processes)
    is_grouped = cfg.DATALOADER.ASPECT_RATIO_GROUPING
    is_wide = _find_wide(records) if is_grouped else np.zeros(len(records), bool)
    return functools.partial(
        BatchOrder,
        epochs=epochs,
        is_wide=is_wide,
        batch_size=cfg.SOLVER.IMS_PER_BATCH // num_processes,
        rank=comm.get_rank(),
        num_processes=num_processes,
    )


def _find_wide(records: list[dict]) -> np.ndarray:
    """(N,) bool, whether images are wider than high: detectron2's two groups."""
    for record in records:
        # Only data sets of other programs may lack the size.
        if not {"width", "height"} <= record.keys():
            raise UserError(
                f"DATALOADER.ASPECT_RATIO_GROUPING is True, but '{record['file_name']}' has no "
                "'width' and 'height' in its data set: set it to False."
            )
    return np.array([record["width"] > record["height"] for record in records])
