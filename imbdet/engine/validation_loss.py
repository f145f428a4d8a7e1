"""The losses of a detector on the test sets during a training, which they do not change."""

import contextlib
import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.layers import FrozenBatchNorm2d
from detectron2.utils import comm
from detectron2.utils.events import EventStorage, get_event_storage
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from imbdet.data.validation import KEY, build_validation_loader
from imbdet.engine.unnoticed import unnoticed_draws
from imbdet.engine.unwrapping import unwrapped
from imbdet.errors import UserError
from imbdet.ops.buffers import untouched_buffers
from imbdet.run_files.best_evaluation import LOSSES

logger = logging.getLogger(__name__)

# The entry of the sums with the number of images.
_NUM_IMAGES = "images"

Batches = Iterable[list[dict[str, Any]]]


class ValidationLoss:
    """Computes the losses of batches of the test sets as if they came next in the training.

    These are the training losses of the samples that its samplers choose, without gradients. Layers
    act as in a test: BatchNorm by its running statistics, no dropout. Random numbers, statistics
    and running quantities are restored afterwards.
    """

    def __init__(self, cfg: CfgNode, model: nn.Module, loaders: Mapping[str, Batches]) -> None:
        """Store the model and the loaders.

        Args:
            cfg: the config.
            model: detector, possibly inside ``DistributedDataParallel``.
            loaders: loaders of the data sets, by name.
        """
        self._model = unwrapped(model)
        self._loaders = loaders
        self._is_mixed_precision = cfg.SOLVER.AMP.ENABLED
        self._device = torch.device(cfg.MODEL.DEVICE)

    def __call__(self) -> dict[str, Any]:
        """Compute the losses. A collective call.

        Returns:
            On all processes "validation" -> loss -> its mean over the images, with the sum as
            "total_loss"; NaN if a loss is not finite. Results of several data sets are by name, as
            in detectron2.
        """
        found = {name: {LOSSES: self._mean(loader)} for name, loader in self._loaders.items()}
        return next(iter(found.values())) if len(found) == 1 else found

    def _mean(self, batches: Batches) -> dict[str, float]:
        sums: defaultdict[str, float] = defaultdict(float)
        with self._unnoticed():
            for batch in batches:
                sums[_NUM_IMAGES] += len(batch)
                for name, loss in self._losses(batch).items():
                    sums[name] += loss * len(batch)
        # Sums are taken in the order of the ranks, and so are the same on all processes.
        totals: defaultdict[str, float] = defaultdict(float)
        for part in comm.all_gather(sums):
            for name, value in part.items():
                totals[name] += value
        num_images = totals.pop(_NUM_IMAGES)
        means = {name: total / num_images for name, total in totals.items()}
        # A batch without finite losses has nothing but a "total_loss" of NaN.
        return {**means, "total_loss": sum(means.values())}

    def _losses(self, batch: list[dict[str, Any]]) -> dict[str, float]:
        precision = torch.autocast(self._device.type, enabled=self._is_mixed_precision)
        try:
            with untouched_buffers(self._model, but=(FrozenBatchNorm2d,)), precision:
                losses = self._model(batch)
        except FloatingPointError as error:  # the training may go on
            logger.warning(f"The losses on a test set are not finite: {error}")
            return {"total_loss": math.nan}
        return {name: float(loss) for name, loss in losses.items()}

    @contextlib.contextmanager
    def _unnoticed(self) -> Iterator[None]:
        modes = {module: module.training for module in self._model.modules()}
        self._model.train()
        self._model.backbone.eval()  # timm's networks have more kinds of dropout
        for module in self._model.modules():
            if isinstance(module, _BatchNorm | _DropoutNd):
                module.eval()
        try:
            # Some losses depend on the iteration.
            storage = EventStorage(get_event_storage().iter)
            with unnoticed_draws(self._model), storage, torch.no_grad():
                yield
        finally:
            for module, mode in modes.items():
                module.training = mode


def build_validation_loss(
    cfg: CfgNode, model: nn.Module, class_weights: Sequence[float]
) -> ValidationLoss | None:
    """The losses that ``TEST.VALIDATION_LOSS`` asks for; None where it does not.

    Args:
        cfg: the config.
        model: detector, possibly inside ``DistributedDataParallel``.
        class_weights: see :func:`build_validation_loader`.

    Raises:
        UserError: there is no test set, or one is wrong.
    """
    if not cfg.TEST.VALIDATION_LOSS:
        return None
    names = cfg.DATASETS.TEST
    if not names:
        raise UserError(f"{KEY} is True, but DATASETS.TEST is empty: name a data set.")
    loaders = {name: build_validation_loader(cfg, name, class_weights) for name in names}
    return ValidationLoss(cfg, model, loaders)
