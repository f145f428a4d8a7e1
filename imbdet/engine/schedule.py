"""The schedule of learning rates by the keys of ``SOLVER``."""

import logging

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_lr_scheduler

from imbdet.errors import UserError

logger = logging.getLogger(__name__)


def build_schedule(
    cfg: CfgNode, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.LRScheduler:
    """detectron2's schedule.

    Raises:
        UserError: the keys make none.
    """
    lowest = cfg.SOLVER.get("BASE_LR_END", 0)  # a key of the main branch
    if not 0 <= lowest <= cfg.SOLVER.BASE_LR:
        raise UserError(
            f"SOLVER.BASE_LR_END is {lowest}: it must be from 0 to SOLVER.BASE_LR, "
            f"{cfg.SOLVER.BASE_LR}."
        )
    end, steps = cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS
    reached = tuple(step for step in steps if step < end)
    if reached != tuple(steps):
        # detectron2 would warn as of a mistake, and refuse a step at the very end.
        later = ", ".join(str(step) for step in steps if step >= end)
        logger.info(f"The training ends at SOLVER.MAX_ITER {end}, before SOLVER.STEPS {later}.")
        cfg = cfg.clone()
        cfg.defrost()
        cfg.SOLVER.STEPS = reached
    try:
        return build_lr_scheduler(cfg, optimizer)
    except ValueError as error:
        raise UserError(f"The keys under SOLVER make no schedule: {error}.") from error
