"""Runs a training by a checked config."""

import logging

from detectron2.config import CfgNode
from detectron2.utils import comm
from torch import nn

from imbdet.data import check_data_keys, check_test_sets, explained_worker_deaths
from imbdet.engine.best import check_best_keys
from imbdet.engine.evaluation import OnStart
from imbdet.engine.interrupt import StopOnSignal
from imbdet.engine.loggers import check_loggers
from imbdet.engine.observers import build_observers
from imbdet.engine.trainer import Trainer
from imbdet.errors import UserError
from imbdet.evaluation import build_coco_evaluator
from imbdet.programs.signals import hearing
from imbdet.wording import counted

logger = logging.getLogger(__name__)


def check_training(cfg: CfgNode) -> nn.Module:
    """Build the parts of a training except its data, and return the detector.

    Raises:
        UserError: a key has a value that a training would refuse.
    """
    check_data_keys(cfg)
    check_best_keys(cfg)
    check_loggers(cfg)
    model = Trainer.build_model(cfg)
    Trainer.build_lr_scheduler(cfg, Trainer.build_optimizer(cfg, model))
    build_observers(cfg, model)
    for name in cfg.DATASETS.TEST:
        build_coco_evaluator(cfg, name, cfg.OUTPUT_DIR)
    return model


def train(cfg: CfgNode, *, resume: bool, on_start: OnStart, until: int | None = None) -> None:
    """Train a detector.

    Args:
        cfg: the config.
        resume: whether to go on from the last checkpoint in ``OUTPUT_DIR``, not from
            ``MODEL.WEIGHTS``.
        on_start: function that is called with a summary of the data when data and weights are
            loaded.
        until: number of iterations to end after, with a checkpoint and an evaluation; the schedule
            stays that of ``SOLVER.MAX_ITER``. None is that number.

    Raises:
        UserError: the training cannot start, or cannot end there.
    """
    # The config is scaled to the number of processes if SOLVER.REFERENCE_WORLD_SIZE is another.
    cfg = Trainer.auto_scale_workers(cfg, comm.get_world_size())
    end = cfg.SOLVER.MAX_ITER
    if until is not None and not 1 <= until <= end:
        raise UserError(f"--until is {until}: it must be from 1 to SOLVER.MAX_ITER, {end}.")
    stop = StopOnSignal()
    with hearing(stop.on_signal), explained_worker_deaths():
        check_best_keys(cfg)
        check_loggers(cfg)
        trainer = Trainer(cfg, stop)
        trainer.max_iter = until or end
        check_test_sets(cfg)
        if cfg.TEST.BEST.METRIC:
            trainer.evaluation.require_metric(cfg.TEST.BEST.METRIC)
        trainer.resume_or_load(resume=resume)
        on_start(trainer.data_loader.summary)
        if resume and trainer.start_iter == 0:
            logger.info(f"There is nothing to resume in '{cfg.OUTPUT_DIR}': this is the start.")
        logger.info(f"{_describe_plan(trainer)}; everything goes to '{cfg.OUTPUT_DIR}'.")
        trainer.train()


def _describe_plan(trainer: Trainer) -> str:
    start, end = trainer.start_iter, trainer.max_iter
    if start == 0:
        return f"Training for {counted(end, 'iteration')}"
    if start < end:
        return f"Continuing after iteration {start:,} of {end:,}"
    return f"The last iteration, {end:,}, is done, only what follows is done again"
