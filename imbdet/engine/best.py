"""Keeps the weights of the best evaluation, and ends a training whose evaluations stall."""

import dataclasses
import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import Tensor

from imbdet.engine.checkpoint import SafeCheckpointer
from imbdet.engine.checkpoint_file import read_checkpoint
from imbdet.errors import UserError, suggest
from imbdet.files import replacing
from imbdet.run_files.best_evaluation import BestEvaluation
from imbdet.untrusted.schema import NUMBER, require_form
from imbdet.wording import counted

logger = logging.getLogger(__name__)

NAME = "model_best"

_STATE = {
    "metric": str,
    "min_delta": NUMBER,
    "value": NUMBER,
    "iteration": int,
    "reference": NUMBER,
    "num_without_gain": int,
    "seen": int,
}


def check_best_keys(cfg: CfgNode) -> None:
    """Refuse keys under TEST.BEST that have no effect.

    Raises:
        UserError: a key has no effect; the message names it.
    """
    keys = cfg.TEST.BEST
    if not keys.METRIC:
        if keys.PATIENCE:
            raise UserError(
                f"TEST.BEST.PATIENCE is {keys.PATIENCE}, but TEST.BEST.METRIC is empty: name the "
                'metric that is to get better, such as "bbox/AP".'
            )
        return
    if cfg.TEST.EVAL_PERIOD <= 0 or not cfg.DATASETS.TEST:
        missing = "DATASETS.TEST is empty" if not cfg.DATASETS.TEST else "TEST.EVAL_PERIOD is 0"
        raise UserError(
            f"TEST.BEST.METRIC is '{keys.METRIC}', but {missing}: set TEST.EVAL_PERIOD and "
            "DATASETS.TEST so that there are evaluations to choose from."
        )


def require_metric(metric: str, known: Iterable[str]) -> None:
    """Refuse the value of TEST.BEST.METRIC if an evaluation does not give it.

    Args:
        metric: the value.
        known: names of the metrics that the evaluation gives.

    Raises:
        UserError: the metric is not among them; the message suggests one.
    """
    known = list(known)
    if metric not in known:
        raise UserError(
            f"TEST.BEST.METRIC is '{metric}', which the evaluations do not give. "
            f"{suggest(metric, known)}"
        )


class StoppedEarly(BaseException):  # no Exception, so that no handler of errors catches it
    """The training has ended before its last iteration."""


class BestKeeper(HookBase):
    """Writes ``model_best.pth``: the weights of the best evaluation, its iteration and value.

    ``best.json`` has the state after the last evaluation.

    It is a watcher of :class:`Evaluation` on all processes. Its state covers the evaluations before
    a checkpoint.
    """

    def __init__(
        self,
        cfg: CfgNode,
        checkpointer: SafeCheckpointer,
        weights: Callable[[], Mapping[str, Tensor]],
    ) -> None:
        """Start without evaluations.

        Args:
            cfg: config with ``TEST.BEST``.
            checkpointer: checkpointer that writes the file.
            weights: function that returns the weights that the metric is of.
        """
        keys = cfg.TEST.BEST
        self.patience = keys.PATIENCE
        self._best = BestEvaluation(keys.METRIC, keys.MIN_DELTA)
        self._checkpointer = checkpointer
        self._weights = weights

    @property
    def has_stalled(self) -> bool:
        """Whether the training is to end, which is the same on all processes."""
        return self._best.has_stalled(self.patience)

    def state_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self._best)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        require_form(state, _STATE, "BestKeeper")
        best = BestEvaluation(**{name: state[name] for name in _STATE})
        if (best.metric, best.min_delta) != (self._best.metric, self._best.min_delta):
            logger.warning(
                f"The run was judged by '{best.metric}' and gains of more than {best.min_delta}, "
                f"and goes on by '{self._best.metric}' and {self._best.min_delta}: the evaluations "
                f"before are forgotten, and the next one becomes '{NAME}.pth'."
            )
            return
        self._best = best

    def before_train(self):
        if not comm.is_main_process():
            return
        path = Path(self._checkpointer.save_dir, f"{NAME}.pth")
        kept = _read_kept(path)
        if kept.iteration and kept.iteration == self.trainer.start_iter:
            # The evaluation at the end of a training came after the checkpoint, and is not
            # repeated.
            if kept.metric == self._best.metric:
                self._best = dataclasses.replace(
                    self._best, value=kept.value, iteration=kept.iteration
                )
            return
        if self._best.iteration in (0, kept.iteration):
            return
        if kept.iteration < self.trainer.start_iter:  # later iterations are evaluated again
            what = "is missing or damaged"
            if kept.iteration:
                what = f"is of {counted(kept.iteration, 'iteration')}"
            logger.warning(
                f"'{path}' {what}, but the best evaluation was that after "
                f"{self._best.iteration:,}: the next one replaces it."
            )
        # The counts of evaluations without a gain stay, as all processes have them.
        self._best = dataclasses.replace(self._best, value=math.nan, iteration=0)

    def look(self, metrics: Mapping[str, float], num_done: int) -> None:
        """Take an evaluation into account, and keep the weights if it is the best one.

        Args:
            metrics: metrics by name.
            num_done: number of iterations that were done.

        Raises:
            UserError: the metric ``TEST.BEST.METRIC`` is not among them.
        """
        best = self._best
        require_metric(best.metric, metrics)
        is_best = best.see(metrics[best.metric], num_done)
        if comm.is_main_process():
            # The report reads it: metrics.json may lack evaluations that follow each other closely.
            with replacing(Path(self._checkpointer.save_dir, "best.json")) as draft:
                draft.write_text(json.dumps(dataclasses.asdict(best)))
        if is_best:
            logger.info(
                f"The best evaluation by now: {best.metric} is {best.value:.3f} after "
                f"{counted(num_done, 'iteration')}, kept as '{NAME}.pth'."
            )
            self._checkpointer.save_weights(
                NAME,
                self._weights(),
                iteration=num_done - 1,
                best={"metric": best.metric, "value": best.value},
            )

    def describe(self) -> str:
        """A sentence on why the training is to end."""
        best = self._best
        return (
            f"{best.metric} did not get better by more than {best.min_delta} in "
            f"{counted(best.num_without_gain, 'evaluation')}; the best one is "
            f"{best.value:.3f}, after {counted(best.iteration, 'iteration')}"
        )


class _Kept(NamedTuple):
    """The evaluation of the weights in a file.

    Attributes:
        iteration: number of iterations before it; 0 if the file cannot be read.
        metric: name of the metric.
        value: value of the metric.
    """

    iteration: int = 0
    metric: str = ""
    value: float = math.nan


def _read_kept(path: Path) -> _Kept:
    try:
        content = read_checkpoint(str(path))
        best = content["best"]
        return _Kept(int(content["iteration"]) + 1, str(best["metric"]), float(best["value"]))
    except (UserError, LookupError, TypeError, ValueError):
        return _Kept()
