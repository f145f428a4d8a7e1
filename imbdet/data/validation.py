"""Builds the loaders for the losses of a training on the test sets."""

from collections.abc import Sequence

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList, MapDataset
from detectron2.data import detection_utils as utils
from detectron2.data.build import trivial_batch_collator
from detectron2.utils import comm
from torch.utils.data import DataLoader

from imbdet.data.broken_images import StrictMapper
from imbdet.data.checks import load_dataset
from imbdet.data.mappers import TrainMapper
from imbdet.data.objects import objects_of
from imbdet.data.proposals import with_proposals
from imbdet.data.weights import weigh_records
from imbdet.data.workers import leave_stopping_to_parent
from imbdet.errors import UserError
from imbdet.wording import counted

# The key that asks for these losses.
KEY = "TEST.VALIDATION_LOSS"


def build_validation_loader(cfg: CfgNode, name: str, class_weights: Sequence[float]) -> DataLoader:
    """A loader of the images of a test set with their objects, in batches as those of a training.

    Each image comes once, resized as for a test and not augmented otherwise. All processes have
    equally many batches, as losses over all processes require, of at most as many images as in
    training.

    Args:
        cfg: the config.
        name: name of the data set.
        class_weights: weights of the classes in the training, see
            :class:`imbdet.data.training_records.TrainingData`.

    Raises:
        UserError: the data set is wrong, or has too few images with objects. While iterating: an
            image is broken.
    """
    records = with_proposals(cfg, load_dataset(cfg, name, training=True), name)
    if cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
        records = [record for record in records if objects_of(record)]
    num_processes = comm.get_world_size()
    if len(records) < num_processes:
        raise UserError(
            f"{KEY} is True, but data set '{name}' has {counted(len(records), 'image')} with an "
            f"object, for {counted(num_processes, 'process', 'processes')}: set it to False."
        )
    dataset = DatasetFromList(weigh_records(records, class_weights), copy=False)
    augmentations = utils.build_augmentation(cfg, is_train=False)
    mapper = TrainMapper(cfg, is_train=True, augmentations=augmentations)
    return DataLoader(
        MapDataset(dataset, StrictMapper(mapper, dataset)),
        batch_sampler=share_batches(
            len(records), cfg.SOLVER.IMS_PER_BATCH // num_processes, comm.get_rank(), num_processes
        ),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=trivial_batch_collator,
        worker_init_fn=leave_stopping_to_parent,
    )


def share_batches(
    num_images: int, batch_size: int, rank: int, num_processes: int
) -> list[list[int]]:
    """The indices of the images in each batch of a process.

    Args:
        num_images: number of images, at least one for each process.
        batch_size: highest number of images of a batch; 2 instead of 1 where a batch would be
            empty.
        rank: rank of the process.
        num_processes: number of processes, which all have equally many batches, none of them empty.
    """
    num_batches = min(-(-num_images // (batch_size * num_processes)), num_images // num_processes)
    parts = np.array_split(np.arange(num_images), num_batches * num_processes)
    return [part.tolist() for part in parts[rank::num_processes]]
