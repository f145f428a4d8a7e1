"""Evaluates a training: its weights, their averages, its losses on the test sets."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping

from detectron2.config import CfgNode
from detectron2.evaluation.testing import flatten_results_dict
from torch import Tensor, nn

from imbdet.data import TrainLoader
from imbdet.data.seeding import seed_sequence, seeded_globals
from imbdet.engine.best import require_metric
from imbdet.engine.evaluation import evaluate_augmented, evaluate_model, undefined_metrics
from imbdet.engine.unwrapping import unwrapped
from imbdet.engine.validation_loss import build_validation_loss
from imbdet.engine.weight_average import SUFFIX, WeightAverage, is_of_averages
from imbdet.run_files.best_evaluation import is_loss

logger = logging.getLogger(__name__)


class TrainingEvaluation:
    """Evaluates the model of a training with random numbers of its own.

    The training is therefore the same whether it is evaluated or not.

    Attributes:
        results: results of the last evaluation, nested as in detectron2.

    Args:
        cfg: the config.
        model: detector, possibly inside ``DistributedDataParallel``.
        data_loader: loader of the training.
        average: average of the weights, if there is one.
    """

    def __init__(
        self,
        cfg: CfgNode,
        model: nn.Module,
        data_loader: TrainLoader,
        average: WeightAverage | None,
    ) -> None:
        self._cfg = cfg
        self._model = model
        self._data_loader = data_loader
        self._average = average
        self._validation_loss = build_validation_loss(cfg, model, data_loader.class_weights)
        self.results: OrderedDict = OrderedDict()

    def evaluate(self) -> dict[str, float]:
        """Return metrics by name, on the main process, and losses, on all. A collective call."""
        self.results = self._run(evaluate_model)
        if self._average is not None:
            logger.info("Evaluating the averaged weights.")
            with self._average.applied():
                self.results.update(self._run(evaluate_model, SUFFIX))
        losses = self._validation_loss() if self._validation_loss is not None else {}
        return flatten_results_dict(self.results) | flatten_results_dict(losses)

    def evaluate_augmented(self) -> dict[str, float]:
        """Evaluate with TEST.AUG; see :meth:`evaluate`."""
        results = self._run(evaluate_augmented)
        self.results.update(results)
        return flatten_results_dict(results)

    def weights_of(self, metric: str) -> Mapping[str, Tensor]:
        """The weights that a metric is of: those of the model, or their averages."""
        if self._average is not None and is_of_averages(metric):
            return self._average.weights()
        return unwrapped(self._model).state_dict()

    def require_metric(self, metric: str) -> None:
        """Refuse a metric that no evaluation will give.

        Raises:
            UserError: no evaluation gives the metric; the message suggests one.
        """
        if self._validation_loss is not None and is_loss(metric):
            return  # the names of losses are known only after a forward pass
        metrics = undefined_metrics(self._cfg, self._training_images)
        if self._average is not None:
            metrics.update(undefined_metrics(self._cfg, self._training_images, SUFFIX))
        require_metric(metric, flatten_results_dict(metrics))

    @property
    def _training_images(self) -> dict[str, int]:
        return self._data_loader.summary.training_images

    def _run(self, evaluation: Callable[..., OrderedDict], *suffix: str) -> OrderedDict:
        with seeded_globals(seed_sequence(self._data_loader.seed)):
            return evaluation(self._cfg, self._model, self._training_images, *suffix)
