"""The schedule of learning rates by the keys of ``SOLVER``."""

import logging

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_lr_scheduler

from imbdet.errors import UserError

logger = logging.getLogger(__name__)

# Lowest share of the base rate that a warm-up should reach; a cosine falls during any warm-up.
_LEAST_SHARE = 0.5


def build_schedule(
    cfg: CfgNode, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.LRScheduler:
    """Build detectron2's schedule; warn where its warm-up ends far below ``SOLVER.BASE_LR``.

    Raises:
        UserError: the keys are invalid for a schedule.
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
        # detectron2 would warn of these steps as a mistake, and refuse a step at the very end.
        later = ", ".join(str(step) for step in steps if step >= end)
        logger.info(f"The training ends at SOLVER.MAX_ITER {end}, before SOLVER.STEPS {later}.")
        cfg = cfg.clone()
        cfg.defrost()
        cfg.SOLVER.STEPS = reached
    try:
        schedule = build_lr_scheduler(cfg, optimizer)
    except ValueError as error:
        raise UserError(f"The keys under SOLVER make no schedule: {error}.") from error
    _warn_of_long_warm_up(cfg, schedule)
    return schedule


def _warn_of_long_warm_up(cfg: CfgNode, schedule: torch.optim.lr_scheduler.LRScheduler) -> None:
    """Warn of a long warm-up: detectron2's ends at the rate that the schedule has there."""
    keys = cfg.SOLVER
    ends = 0.0, min(keys.WARMUP_ITERS / keys.MAX_ITER, 1.0)
    highest = max(schedule._multiplier(end) for end in ends)
    if highest < _LEAST_SHARE:
        logger.warning(
            f"SOLVER.WARMUP_ITERS is {keys.WARMUP_ITERS}, where the schedule has lowered the rate: "
            f"it never exceeds {highest * keys.BASE_LR:.2g}, far below SOLVER.BASE_LR, "
            f"{keys.BASE_LR:.2g}. Lower SOLVER.WARMUP_ITERS, or lengthen the schedule "
            "(SOLVER.MAX_ITER, SOLVER.STEPS)."
        )
