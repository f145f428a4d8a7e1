"""detectron2's training loop with imbdet's data, checkpoints and evaluation."""

import logging
import os
import weakref
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, HookBase
from detectron2.engine.hooks import EvalHook, PeriodicCheckpointer
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import nn

import imbdet.modeling  # noqa: F401  (registers the detectors)
from imbdet.data import build_test_loader, build_train_loader
from imbdet.engine.checkpoint import SafeCheckpointer
from imbdet.engine.interrupt import StopOnSignal
from imbdet.engine.optimizer import build_optimizer
from imbdet.engine.progress import ProgressBar, with_progress
from imbdet.engine.recorder import SampleRecorder
from imbdet.evaluation import build_coco_evaluator

logger = logging.getLogger(__name__)


class Trainer(DefaultTrainer):
    """Trains, saves and evaluates what a config describes."""

    def __init__(self, cfg: CfgNode, stop: StopOnSignal | None = None):
        """Build everything.

        Args:
            cfg: the config.
            stop: listens to signals that end the training; None lets them end the process.
        """
        self._stop = stop
        super().__init__(cfg)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Iterable:
        return build_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable:
        return with_progress(build_test_loader(cfg, dataset_name), f"evaluating {dataset_name}")

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        return build_optimizer(cfg, model)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        return build_coco_evaluator(cfg, dataset_name, os.path.join(cfg.OUTPUT_DIR, "inference"))

    def build_hooks(self) -> list[HookBase]:
        # Here, since the hooks made next hold on to the checkpointer of this moment.
        self.checkpointer = SafeCheckpointer(
            self.model, self.cfg.OUTPUT_DIR, trainer=weakref.proxy(self)
        )
        hooks = [hook for hook in super().build_hooks() if hook is not None]
        if self._stop is not None:
            saves = [isinstance(hook, PeriodicCheckpointer | EvalHook) for hook in hooks]
            hooks.insert(saves.index(True), self._stop)
        if self.cfg.RECORD.PERIOD != 0:
            # First: others call the model behind a step, too.
            hooks.insert(0, SampleRecorder(self.cfg, self.model))
        return [*hooks, ProgressBar()] if comm.is_main_process() else hooks

    def state_dict(self) -> dict[str, Any]:
        # v0.6 forgets the optimizer and the gradient scaler; the main branch adds them just so.
        return {**super().state_dict(), "_trainer": self._trainer.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._trainer.load_state_dict(state_dict["_trainer"])


def evaluate(cfg: CfgNode, *, resume: bool = False) -> OrderedDict:
    """Evaluate on ``DATASETS.TEST`` and return the metrics of each data set.

    The weights are ``MODEL.WEIGHTS``, or with ``resume`` the last checkpoint in ``OUTPUT_DIR``.
    """
    model = Trainer.build_model(cfg)
    checkpointer = SafeCheckpointer(model, cfg.OUTPUT_DIR, strict=True)
    if not (cfg.MODEL.WEIGHTS or (resume and checkpointer.has_checkpoint())):
        logger.warning("MODEL.WEIGHTS is empty: this evaluates an untrained model.")
    checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=resume)
    return Trainer.test(cfg, model)


def train(cfg: CfgNode, *, resume: bool) -> None:
    """Train from ``MODEL.WEIGHTS``, or go on from the last checkpoint in ``OUTPUT_DIR``."""
    with StopOnSignal() as stop:
        trainer = Trainer(cfg, stop)
        trainer.resume_or_load(resume=resume)
        logger.info(
            f"Training for {trainer.max_iter - trainer.start_iter} iterations, "
            f"everything goes to '{cfg.OUTPUT_DIR}'."
        )
        trainer.train()
