"""Compares the data that weights learned from with those of a training."""

import logging

from detectron2.config import CfgNode

from imbdet.data.summary import DataSummary, find_difference
from imbdet.errors import UserError

logger = logging.getLogger(__name__)


def compare_data(
    cfg: CfgNode, learned: DataSummary | None, now: DataSummary, *, is_resumed: bool
) -> None:
    """Refuse to go on, or warn, if the weights learned from other data.

    Args:
        cfg: config of the training.
        learned: summary of the data that the weights learned from; None if it is not known.
        now: summary of the data of the training.
        is_resumed: whether the training is resumed, rather than started with the weights.

    Raises:
        UserError: a resumed training would have other classes.
    """
    if learned is None:
        return
    difference = find_difference(learned.classes, now.classes)
    if is_resumed and difference:
        raise UserError(
            f"The run in '{cfg.OUTPUT_DIR}' learned other classes than those of "
            f"'{cfg.DATASETS.TRAIN[0]}', or in another order: {difference}. Classes are numbered "
            "in the order of their ids in the annotation file: give them the names and ids that "
            "they had, or choose another OUTPUT_DIR and start from the weights by MODEL.WEIGHTS."
        )
    if is_resumed:
        learned.warn_of_changes(now)
    elif difference and len(learned.classes) == len(now.classes):
        logger.warning(
            f"The weights in '{cfg.MODEL.WEIGHTS}' learned as many classes, but others or in "
            f"another order: {difference}. Their predictors are kept and learn anew."
        )
