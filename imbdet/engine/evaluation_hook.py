"""Evaluates during a training and at its end, and passes the metrics to watchers."""

from collections.abc import Callable, Mapping, Sequence

from detectron2.engine.hooks import EvalHook
from detectron2.utils import comm

# A function of the metrics by name, such as "bbox/AP", and the number of iterations done.
Watcher = Callable[[Mapping[str, float], int], None]


class Evaluation(EvalHook):
    """detectron2's hook, which evaluates each iteration once, also where the training ends there.

    Args:
        period: period of the evaluations in iterations; 0 evaluates at the end only.
        evaluate: function that returns the metrics by name, those of detections on the main process
            only.
        watchers: functions that are called on all processes after each evaluation, with the same
            metrics.
    """

    def __init__(
        self,
        period: int,
        evaluate: Callable[[], Mapping[str, float]],
        watchers: Sequence[Watcher] = (),
    ) -> None:
        super().__init__(period, evaluate)
        self._watchers = watchers
        self._num_done = 0  # iterations at the last evaluation

    def after_train(self) -> None:
        # detectron2's hook also evaluates where the last iteration failed.
        if self.trainer.iter >= self.trainer.max_iter:
            self._do_eval()

    def _do_eval(self) -> None:
        num_done = min(self.trainer.iter + 1, self.trainer.max_iter)
        if num_done == self._num_done:
            return
        self._num_done = num_done
        metrics = self._func()
        self.trainer.storage.put_scalars(**metrics, smoothing_hint=False)
        (metrics, *_) = comm.all_gather(metrics)  # the next iteration starts on all together
        for watcher in self._watchers:
            watcher(metrics, num_done)
