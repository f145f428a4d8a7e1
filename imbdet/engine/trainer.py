"""detectron2's training loop with imbdet's data, checkpoints and evaluation."""

import contextlib
import functools
import logging
import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer, HookBase, TrainerBase
from detectron2.engine.hooks import IterationTimer, LRScheduler
from detectron2.utils import comm
from detectron2.utils.events import (
    CommonMetricPrinter,
    EventWriter,
    JSONWriter,
    TensorboardXWriter,
)
from fvcore.nn.precise_bn import get_bn_modules
from torch import Tensor, nn

from imbdet.data import TrainLoader, build_train_loader
from imbdet.engine.best import BestKeeper, StoppedEarly
from imbdet.engine.checkpoint import SafeCheckpointer
from imbdet.engine.curves import CurveWriter
from imbdet.engine.evaluation_hook import Evaluation
from imbdet.engine.interrupt import StopOnSignal
from imbdet.engine.learned_data import compare_data
from imbdet.engine.leftovers import remove_earlier, remove_half_written
from imbdet.engine.loggers import build_loggers
from imbdet.engine.observers import build_observers
from imbdet.engine.optimizer import adopt_state, build_optimizer
from imbdet.engine.precise_statistics import PreciseStatistics
from imbdet.engine.process_state import (
    find_own_state,
    gather_process_states,
    restore_process_state,
    running_quantities,
)
from imbdet.engine.progress import ProgressBar
from imbdet.engine.saver import PeriodicSaver
from imbdet.engine.schedule import build_schedule
from imbdet.engine.training_evaluation import TrainingEvaluation
from imbdet.engine.training_state import check_training_state, taking_up
from imbdet.engine.weight_average import ENTRY, WeightAverager, build_weight_average
from imbdet.errors import UserError
from imbdet.modeling import build_model, give_class_frequencies
from imbdet.wording import counted

logger = logging.getLogger(__name__)

METRICS_FILE = "metrics.json"


class Trainer(DefaultTrainer):
    """Trains, saves and evaluates the detector that a config describes."""

    def __init__(self, cfg: CfgNode, stop: StopOnSignal | None = None):
        """Build the detector, the data, the optimizer and the hooks.

        Args:
            cfg: the config.
            stop: hook that ends the training after a signal; None lets signals end the process.
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
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(
        cls, cfg: CfgNode, optimizer: torch.optim.Optimizer
    ) -> torch.optim.lr_scheduler.LRScheduler:
        return build_schedule(cfg, optimizer)

    def build_hooks(self) -> list[HookBase]:
        """The hooks in their order: those that change what a checkpoint holds come first."""
        cfg = self.cfg
        self._average = build_weight_average(cfg, self.model)
        self.checkpointer = SafeCheckpointer(
            self.model,
            cfg.OUTPUT_DIR,
            keep=cfg.SOLVER.CHECKPOINT_KEEP,
            data=self.data_loader.summary,
            # It comes before the trainer, which restores the quantities of this process.
            **({} if self._average is None else {ENTRY: self._average}),
            trainer=weakref.proxy(self),
        )
        # The observers come first, as other hooks call the model after a step.
        hooks = [*build_observers(cfg, self.model), IterationTimer(), LRScheduler()]
        if cfg.TEST.PRECISE_BN.ENABLED and get_bn_modules(self.model):
            number = cfg.TEST.PRECISE_BN.NUM_ITER
            # They are always of the same images, so that a checkpoint need not store which ones are
            # next.
            batches = self.data_loader.first_batches(number)
            hooks.append(PreciseStatistics(cfg.TEST.EVAL_PERIOD, self.model, batches, number))
        if self._average is not None:
            hooks.append(WeightAverager(self._average))
        if self._stop is not None:
            hooks.append(self._stop)
        hooks.append(PeriodicSaver(self.checkpointer, cfg.SOLVER.CHECKPOINT_PERIOD))
        self.evaluation = TrainingEvaluation(cfg, self.model, self.data_loader, self._average)
        self._best = None
        watchers = []
        if metric := cfg.TEST.BEST.METRIC:
            weights = functools.partial(self.evaluation.weights_of, metric)
            self._best = BestKeeper(cfg, self.checkpointer, weights)
            hooks.append(self._best)
            watchers.append(self._best.look)
        hooks.append(Evaluation(cfg.TEST.EVAL_PERIOD, self.evaluation.evaluate, watchers))
        if cfg.TEST.AUG.ENABLED and cfg.DATASETS.TEST:
            # It is evaluated at the end only, as by detectron2.
            hooks.append(Evaluation(0, self.evaluation.evaluate_augmented))
        if comm.is_main_process():
            hooks.append(CurveWriter(Path(cfg.OUTPUT_DIR, METRICS_FILE)))
            hooks.append(ProgressBar())
        return hooks

    def build_writers(self) -> list[EventWriter]:
        """The writers of scalars for a training that starts at ``start_iter``."""
        folder = self.cfg.OUTPUT_DIR
        return [
            CommonMetricPrinter(self.max_iter),
            JSONWriter(os.path.join(folder, METRICS_FILE)),
            TensorboardXWriter(folder, purge_step=self.start_iter),
            *build_loggers(self.cfg, goes_on=self.start_iter > 0),
        ]

    @property
    def _last_eval_results(self) -> OrderedDict:  # detectron2 reads them
        return self.evaluation.results

    def train(self) -> None:
        """Train to the last iteration, or until the evaluations stall."""
        with contextlib.suppress(StoppedEarly):
            super().train()

    def before_train(self) -> None:
        """Start at the iteration after the checkpoint."""
        self.data_loader.start = self.start_iter
        if comm.is_main_process():
            remove_half_written(Path(self.cfg.OUTPUT_DIR))
            if self.start_iter == 0:
                remove_earlier(Path(self.cfg.OUTPUT_DIR))
        if self.start_iter >= self.max_iter:
            # No iteration is left: the training is at its end when detectron2 has counted one more.
            self.iter = self.max_iter - 1
        super().before_train()
        if self.start_iter > 0:
            self._finish_iteration(self.start_iter - 1)
            self._stop_if_stalled(self.start_iter - 1)

    def _finish_iteration(self, iteration: int) -> None:
        """Run the hooks that come after the checkpoint in its iteration."""
        start = self.iter
        self.iter = self.storage.iter = iteration
        for hook in self._hooks:
            if isinstance(hook, Evaluation | CurveWriter):
                hook.after_step()
        self.iter = self.storage.iter = start

    def after_step(self) -> None:
        """Run the hooks, and end the training if the evaluations stall."""
        super().after_step()
        self._stop_if_stalled(self.iter)

    def after_train(self) -> None:
        """Run all hooks, and wait for the files that they write, such as the best weights.

        If a hook fails, the others end the training as a failed one.

        Raises:
            UserError: a file could not be written.
        """
        self.storage.iter = self.iter
        ends = iter([*(hook.after_train for hook in self._hooks), self.checkpointer.writer.wait])
        if self.iter < self.max_iter:
            _end_failed(ends)
            return
        try:
            for end in ends:
                end()
        except BaseException:
            self.iter = self.max_iter - 1
            _end_failed(ends)
            raise

    def _stop_if_stalled(self, iteration: int) -> None:
        """End the training after ``iteration``, as if it was the last one, if evaluations stall."""
        if self._best is None or not self._best.has_stalled or iteration + 1 >= self.max_iter:
            return
        logger.info(
            f"The training stops early, after {iteration + 1:,} of "
            f"{counted(self.max_iter, 'iteration')}: {self._best.describe()}. A higher "
            "TEST.BEST.PATIENCE and --resume go on."
        )
        self.iter = iteration
        self.checkpointer.save("model_final", iteration=iteration)
        # The hooks at the end then see the last iteration.
        self.iter = self.max_iter = iteration + 1
        raise StoppedEarly

    def resume_or_load(self, resume: bool = True) -> None:
        """Load the last checkpoint of ``OUTPUT_DIR``, or the weights to start from.

        Raises:
            UserError: the file cannot be loaded, or the run is longer than the config's.
        """
        super().resume_or_load(resume)
        is_resumed = resume and self.checkpointer.has_checkpoint()
        learned, data = self.checkpointer.learned, self.data_loader.summary
        compare_data(self.cfg, learned, data, is_resumed=is_resumed)
        give_class_frequencies(self.model, self.data_loader.class_frequencies)
        if self.start_iter > self.max_iter:
            raise UserError(
                f"The run in '{self.cfg.OUTPUT_DIR}' has done {self.start_iter:,} iterations, but "
                f"is to end after {self.max_iter:,}. For a shorter one choose another OUTPUT_DIR; "
                "to go on, a higher SOLVER.MAX_ITER or --until."
            )
        # The rates are those of the present config, not of the one that the checkpoint was made
        # with.
        for group, rate in zip(self.optimizer.param_groups, self.scheduler.get_lr(), strict=True):
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """The state to resume a training from, of all processes; a collective call."""
        # DefaultTrainer's is not used, as in `load_state_dict`.
        state = TrainerBase.state_dict(self)
        return {
            **state,
            # The optimizer and the gradient scaler, under the main branch's name.
            "_trainer": self._trainer.state_dict(),
            "seed": self.data_loader.seed,
            "processes": gather_process_states(self._quantities(), state.get("hooks", {})),
        }

    def _quantities(self) -> dict[str, Tensor]:
        """The running quantities, which each process has for itself."""
        quantities = running_quantities(self.checkpointer.model)
        if self._average is not None:
            averages = self._average.running_quantities()
            quantities |= {f"{ENTRY}.{name}": value for name, value in averages.items()}
        return quantities

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state, with a warning of parts that are not exact.

        Raises:
            UserError: the state is of a program that does not keep the optimizer, such as
                detectron2 v0.6, of another optimizer than the config's, or not as a training writes
                it.
        """
        check_training_state(state_dict)
        with taking_up("the training"):
            self._take_up(state_dict)

    def _take_up(self, state_dict: dict[str, Any]) -> None:
        own = find_own_state(state_dict.get("processes", []))
        if own is not None:
            restore_process_state(self._quantities(), own)
            state_dict = {**state_dict, "hooks": own.get("hooks", state_dict["hooks"])}
        # Only the progress of the schedule is restored: its rates are the config's.
        schedule = {"last_epoch": state_dict["hooks"]["LRScheduler"]["last_epoch"]}
        state_dict = {**state_dict, "hooks": {**state_dict["hooks"], "LRScheduler": schedule}}
        # DefaultTrainer's is not used: the main branch's would load the optimizer with the options
        # of the checkpoint, while v0.6's does not load it.
        TrainerBase.load_state_dict(self, state_dict)
        # A gradient scaler that the checkpoint lacks starts anew.
        step = {**self._trainer.state_dict(), **state_dict["_trainer"]}
        state = adopt_state(self.optimizer, step["optimizer"])
        self._trainer.load_state_dict({**step, "optimizer": state})
        seed = state_dict.get("seed", self.data_loader.seed)
        if self.cfg.SEED not in (seed, -1):
            logger.warning(f"SEED is {self.cfg.SEED}, but the run began with {seed}, which stays.")
        self.data_loader.seed = seed


def _end_failed(ends: Iterable[Callable[[], None]]) -> None:
    """Run the end of a training that failed, each part also after an error of another one.

    The first error, which is being raised, is the one to report; those that follow are logged.
    """
    for end in ends:
        try:
            end()
        except Exception as error:  # each library raises errors of its own
            logger.debug("At the end of a training that failed:", exc_info=True)
            logger.error(f"This failed as well, at the end of the training: {error}")
