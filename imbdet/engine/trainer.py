"""detectron2's training loop with imbdet's data, checkpoints and evaluation."""

import logging
import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, HookBase, TrainerBase
from detectron2.engine.hooks import EvalHook, IterationTimer, LRScheduler, PreciseBN
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.events import (
    CommonMetricPrinter,
    EventWriter,
    JSONWriter,
    TensorboardXWriter,
)
from fvcore.nn.precise_bn import get_bn_modules
from torch import nn

from imbdet.data import (
    TrainLoader,
    build_test_loader,
    build_train_loader,
    check_data_keys,
    check_test_sets,
    explained_worker_deaths,
    load_dataset,
)
from imbdet.data.seeding import seed_sequence, seeded_globals
from imbdet.data.summary import DataSummary, find_difference, require_classes
from imbdet.data.training_images import find_training_images
from imbdet.engine.checkpoint import SafeCheckpointer
from imbdet.engine.curves import CurveWriter
from imbdet.engine.incidents.watch import Watch
from imbdet.engine.interrupt import StopOnSignal
from imbdet.engine.ledger_feedback import LedgerFeedback, needs_feedback
from imbdet.engine.ledger_keeper import LedgerKeeper
from imbdet.engine.optimizer import adopt_state, build_optimizer
from imbdet.engine.process_state import find_own_state, gather_process_states, restore_process_state
from imbdet.engine.progress import ProgressBar, with_progress
from imbdet.engine.recorder import SampleRecorder
from imbdet.engine.saver import PeriodicSaver
from imbdet.engine.training_state import check_training_state, taking_up
from imbdet.errors import UserError
from imbdet.evaluation import build_coco_evaluator
from imbdet.modeling import build_model, give_class_frequencies
from imbdet.modeling.augmented_tests import augment_tests
from imbdet.signals import hearing
from imbdet.wording import counted

logger = logging.getLogger(__name__)

METRICS_FILE = "metrics.json"

OnStart = Callable[[DataSummary | None], None]


class Trainer(DefaultTrainer):
    """Trains, saves and evaluates what a config describes."""

    def __init__(self, cfg: CfgNode, stop: StopOnSignal | None = None):
        """Build everything.

        Args:
            cfg: the config.
            stop: ends the training after a signal; None lets signals end the process.
        """
        self._stop = stop
        super().__init__(cfg)

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        model = build_model(cfg)
        logger.debug(f"The detector is\n{model}")
        return model

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> TrainLoader:
        return build_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable:
        return with_progress(build_test_loader(cfg, dataset_name), f"evaluating {dataset_name}")

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(
        cls, cfg: CfgNode, optimizer: torch.optim.Optimizer
    ) -> torch.optim.lr_scheduler.LRScheduler:
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
            return super().build_lr_scheduler(cfg, optimizer)
        except ValueError as error:
            raise UserError(f"The keys under SOLVER make no schedule: {error}.") from error

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        return build_coco_evaluator(cfg, dataset_name, os.path.join(cfg.OUTPUT_DIR, "inference"))

    def build_hooks(self) -> list[HookBase]:
        """The hooks in their order: those that change what a checkpoint holds come first."""
        cfg = self.cfg
        self.checkpointer = SafeCheckpointer(
            self.model,
            cfg.OUTPUT_DIR,
            keep=cfg.SOLVER.CHECKPOINT_KEEP,
            data=self.data_loader.summary,
            trainer=weakref.proxy(self),
        )
        # The observers first: others call the model after a step, too.
        hooks = [*_build_observers(cfg, self.model), IterationTimer(), LRScheduler()]
        if cfg.TEST.PRECISE_BN.ENABLED and get_bn_modules(self.model):
            number = cfg.TEST.PRECISE_BN.NUM_ITER
            # Always of the same images, so that a checkpoint need not know which ones are next.
            batches = self.data_loader.first_batches(number)
            hooks.append(PreciseBN(cfg.TEST.EVAL_PERIOD, self.model, batches, number))
        if self._stop is not None:
            hooks.append(self._stop)
        hooks.append(PeriodicSaver(self.checkpointer, cfg.SOLVER.CHECKPOINT_PERIOD))
        hooks.append(EvalHook(cfg.TEST.EVAL_PERIOD, self._evaluate))
        if cfg.TEST.AUG.ENABLED and cfg.DATASETS.TEST:
            hooks.append(EvalHook(0, self._evaluate_augmented))  # at the end, as detectron2
        if comm.is_main_process():
            hooks.append(CurveWriter(Path(cfg.OUTPUT_DIR, METRICS_FILE)))
            hooks.append(ProgressBar())
        return hooks

    def build_writers(self) -> list[EventWriter]:
        """For a training that starts at ``start_iter``."""
        folder = self.cfg.OUTPUT_DIR
        return [
            CommonMetricPrinter(self.max_iter),
            JSONWriter(os.path.join(folder, METRICS_FILE)),
            TensorboardXWriter(folder, purge_step=self.start_iter),
        ]

    @property
    def _training_images(self) -> dict[str, int]:
        return self.data_loader.summary.training_images

    def _evaluate(self) -> OrderedDict:
        # With its own random numbers: a training is the same whether it is evaluated or not.
        with seeded_globals(seed_sequence(self.data_loader.seed)):
            evaluators = _build_evaluators(self.cfg, "inference", self._training_images)
            # detectron2 looks at them.
            self._last_eval_results = self.test(self.cfg, self.model, evaluators)
        return self._last_eval_results

    def _evaluate_augmented(self) -> OrderedDict:
        with seeded_globals(seed_sequence(self.data_loader.seed)):
            results = self.test_augmented(self.cfg, self.model, self._training_images)
        self._last_eval_results.update(results)
        return results

    @classmethod
    def test_augmented(
        cls, cfg: CfgNode, model: nn.Module, training_images: Mapping[str, int]
    ) -> OrderedDict:
        """Evaluate with TEST.AUG, into the folder "inference_TTA".

        Args:
            cfg: the config.
            model: the detector.
            training_images: see :class:`COCOEvaluator`.

        Returns:
            The metrics by the names of :meth:`test` with "_TTA" behind, as detectron2 has them.
        """
        logger.info("Evaluating once more, with TEST.AUG.")
        evaluators = _build_evaluators(cfg, "inference_TTA", training_images)
        results = cls.test(cfg, augment_tests(cfg, model), evaluators)
        return OrderedDict((f"{name}_TTA", values) for name, values in results.items())

    def before_train(self) -> None:
        """Start at the iteration after the checkpoint."""
        self.data_loader.start = self.start_iter
        super().before_train()
        if self.start_iter > 0:
            self._finish_iteration(self.start_iter - 1)
        if self.start_iter >= self.max_iter:
            self.iter = self.max_iter - 1  # no iteration is left, but detectron2 counts one more

    def _finish_iteration(self, iteration: int) -> None:
        """Do what was still due in the iteration of the checkpoint when it was saved."""
        start = self.iter
        self.iter = self.storage.iter = iteration
        for hook in self._hooks:
            if isinstance(hook, EvalHook | CurveWriter):
                hook.after_step()
        self.iter = self.storage.iter = start

    def resume_or_load(self, resume: bool = True) -> None:
        """Take up the last checkpoint of ``OUTPUT_DIR``, or the weights to start from.

        Raises:
            UserError: they cannot be loaded, or the run is longer than the config's.
        """
        super().resume_or_load(resume)
        self._compare_data(is_resumed=resume and self.checkpointer.has_checkpoint())
        give_class_frequencies(self.model, self.data_loader.class_frequencies)
        if self.start_iter > self.max_iter:
            raise UserError(
                f"The run in '{self.cfg.OUTPUT_DIR}' has done {self.start_iter:,} iterations, but "
                f"is to end after {self.max_iter:,}. For a shorter one choose another OUTPUT_DIR; "
                "to go on, a higher SOLVER.MAX_ITER or --until."
            )
        # Of the config that counts from here on, not of the one that the checkpoint was made with.
        for group, rate in zip(self.optimizer.param_groups, self.scheduler.get_lr(), strict=True):
            group["lr"] = rate

    def _compare_data(self, *, is_resumed: bool) -> None:
        """Refuse to go on, or warn, if the weights learned from other data."""
        learned, now = self.checkpointer.learned, self.data_loader.summary
        if learned is None:
            return
        difference = find_difference(learned.classes, now.classes)
        if is_resumed and difference:
            raise UserError(
                f"The run in '{self.cfg.OUTPUT_DIR}' learned other classes than those of "
                f"'{self.cfg.DATASETS.TRAIN[0]}', or in another order: {difference}. Classes are "
                "numbered in the order of their ids in the annotation file: give them the names "
                "and ids that they had, or choose another OUTPUT_DIR and start from the weights by "
                "MODEL.WEIGHTS."
            )
        if is_resumed:
            learned.warn_of_changes(now)
        elif difference and len(learned.classes) == len(now.classes):
            logger.warning(
                f"The weights in '{self.cfg.MODEL.WEIGHTS}' learned as many classes, but others or "
                f"in another order: {difference}. Their predictors are kept and learn anew."
            )

    def state_dict(self) -> dict[str, Any]:
        """All that a training goes on from, of all processes; a collective call."""
        # Not DefaultTrainer's, as in `load_state_dict`.
        state = TrainerBase.state_dict(self)
        return {
            **state,
            # The optimizer and the gradient scaler, under the main branch's name.
            "_trainer": self._trainer.state_dict(),
            "seed": self.data_loader.seed,
            "processes": gather_process_states(self.checkpointer.model, state.get("hooks", {})),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state; what is not exact then is said in a warning.

        Raises:
            UserError: it is of a program that does not keep the optimizer, such as detectron2 v0.6,
                of another optimizer than the config's, or not as a training writes it.
        """
        check_training_state(state_dict)
        with taking_up("the training"):
            self._take_up(state_dict)

    def _take_up(self, state_dict: dict[str, Any]) -> None:
        own = find_own_state(state_dict.get("processes", []))
        if own is not None:
            restore_process_state(self.checkpointer.model, own)
            state_dict = {**state_dict, "hooks": own["hooks"]}
        # Of the schedule only how far it is: its rates are the config's.
        schedule = {"last_epoch": state_dict["hooks"]["LRScheduler"]["last_epoch"]}
        state_dict = {**state_dict, "hooks": {**state_dict["hooks"], "LRScheduler": schedule}}
        # Not DefaultTrainer's: the main branch's would load the optimizer with the options of the
        # checkpoint, while v0.6's forgets it.
        TrainerBase.load_state_dict(self, state_dict)
        step = state_dict["_trainer"]
        state = adopt_state(self.optimizer, step["optimizer"])
        self._trainer.load_state_dict({**step, "optimizer": state})
        seed = state_dict.get("seed", self.data_loader.seed)
        if self.cfg.SEED not in (seed, -1):
            logger.warning(f"SEED is {self.cfg.SEED}, but the run began with {seed}, which stays.")
        self.data_loader.seed = seed


def _build_evaluators(
    cfg: CfgNode, folder: str, training_images: Mapping[str, int]
) -> list[DatasetEvaluator]:
    output_dir = os.path.join(cfg.OUTPUT_DIR, folder)
    return [
        build_coco_evaluator(cfg, name, output_dir, training_images) for name in cfg.DATASETS.TEST
    ]


def _build_observers(cfg: CfgNode, model: nn.Module) -> list[HookBase]:
    """Hooks that look at what the model computes in a step, or see to what it is given."""
    observers: list[HookBase] = [Watch(cfg, model)]
    if cfg.RECORD.PERIOD != 0:
        observers.append(SampleRecorder(cfg, model))
    feeds_back = needs_feedback(cfg)
    if cfg.LEDGER.ENABLED:
        keeper = LedgerKeeper(cfg, model)
        observers.append(keeper)
        if feeds_back:
            observers.append(LedgerFeedback(cfg, keeper))
    return observers


def check_training(cfg: CfgNode) -> nn.Module:
    """Build what a training needs beside its data, and return the detector.

    Raises:
        UserError: a key has a value that a training would refuse.
    """
    check_data_keys(cfg)
    model = Trainer.build_model(cfg)
    Trainer.build_lr_scheduler(cfg, Trainer.build_optimizer(cfg, model))
    _build_observers(cfg, model)
    for name in cfg.DATASETS.TEST:
        Trainer.build_evaluator(cfg, name)
    return model


def evaluate(cfg: CfgNode, *, resume: bool, on_start: OnStart) -> OrderedDict:
    """Evaluate on ``DATASETS.TEST`` and return the metrics of each data set.

    Args:
        cfg: the config.
        resume: take the weights of the last checkpoint in ``OUTPUT_DIR``, not ``MODEL.WEIGHTS``.
        on_start: called when the weights are loaded, with None.

    Raises:
        UserError: there is nothing to evaluate on, or the weights do not fit.
    """
    if not cfg.DATASETS.TEST:
        raise UserError("DATASETS.TEST is empty: name at least one data set to evaluate on.")
    model = build_model(cfg)
    checkpointer = SafeCheckpointer(model, cfg.OUTPUT_DIR, strict=True)
    if not (cfg.MODEL.WEIGHTS or (resume and checkpointer.has_checkpoint())):
        logger.warning(
            "MODEL.WEIGHTS is empty: this evaluates an untrained model. Name a checkpoint by "
            "MODEL.WEIGHTS, such as output/model_final.pth."
        )
    is_resumed = resume and checkpointer.has_checkpoint()
    checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=resume)
    if checkpointer.learned is not None:
        place = cfg.OUTPUT_DIR if is_resumed else cfg.MODEL.WEIGHTS
        weights = f"The {'run' if is_resumed else 'weights'} in '{place}'"
        for name in cfg.DATASETS.TEST:
            load_dataset(cfg, name)
            require_classes(checkpointer.learned.classes, name, weights)
    on_start(None)
    with explained_worker_deaths():
        is_main = comm.is_main_process()  # which alone computes metrics
        images = find_training_images(cfg, checkpointer.learned) if is_main else {}
        results = Trainer.test(cfg, model, _build_evaluators(cfg, "inference", images))
        if cfg.TEST.AUG.ENABLED:
            results.update(Trainer.test_augmented(cfg, model, images))
    return results


def train(cfg: CfgNode, *, resume: bool, on_start: OnStart, until: int | None = None) -> None:
    """Train.

    Args:
        cfg: the config.
        resume: go on from the last checkpoint in ``OUTPUT_DIR``, not from ``MODEL.WEIGHTS``.
        on_start: called when data and weights are loaded, with a summary of the data.
        until: the iteration to end after, with a checkpoint and an evaluation; the schedule stays
            that of ``SOLVER.MAX_ITER``. None is its end.

    Raises:
        UserError: the training cannot start, or not end there.
    """
    end = cfg.SOLVER.MAX_ITER
    if until is not None and not 1 <= until <= end:
        raise UserError(f"--until is {until}: it must be from 1 to SOLVER.MAX_ITER, {end}.")
    stop = StopOnSignal()
    with hearing(stop.on_signal), explained_worker_deaths():
        trainer = Trainer(cfg, stop)
        trainer.max_iter = until or end
        check_test_sets(cfg)
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
