"""Which images an epoch shows, and how often: ``DATALOADER.SAMPLER_TRAIN``."""

from collections.abc import Sequence

import numpy as np
from detectron2.config import CfgNode
from detectron2.data.samplers import RepeatFactorTrainingSampler

from imbdet.errors import UserError, suggest
from imbdet.wording import counted

SAMPLERS = ("TrainingSampler", "RepeatFactorTrainingSampler", "RandomSubsetTrainingSampler")


def check_sampler(cfg: CfgNode) -> None:
    """Raise UserError unless the sampler exists."""
    name = cfg.DATALOADER.SAMPLER_TRAIN
    if name not in SAMPLERS:
        raise UserError(f"DATALOADER.SAMPLER_TRAIN is {name!r}. {suggest(name, SAMPLERS)}")


def read_sampler(cfg: CfgNode, records: Sequence[dict]) -> tuple[np.ndarray, int]:
    """What detectron2's sampler of that name shows.

    Returns:
        ``repeats`` and ``subset_size`` of :class:`imbdet.data.order.BatchOrder`.

    Raises:
        UserError: the sampler takes no image.
    """
    name = cfg.DATALOADER.SAMPLER_TRAIN
    repeats, size = np.ones(len(records)), len(records)
    if name == "RepeatFactorTrainingSampler":
        # The main branch alone has a key to leave out the square root.
        options = {"sqrt": cfg.DATALOADER.REPEAT_SQRT} if "REPEAT_SQRT" in cfg.DATALOADER else {}
        repeats = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(
            records, cfg.DATALOADER.REPEAT_THRESHOLD, **options
        ).numpy()
    if name == "RandomSubsetTrainingSampler":
        ratio = cfg.DATALOADER.RANDOM_SUBSET_RATIO
        size = int(len(records) * ratio)
        if not 0 < size <= len(records):
            images = counted(len(records), "image")
            raise UserError(
                f"DATALOADER.RANDOM_SUBSET_RATIO is {ratio}: of {images} it must take at least one "
                "and at most all."
            )
    return repeats, size
