"""Exact statistics of BatchNorm, whose passes change nothing else of a training."""

from detectron2.engine.hooks import PreciseBN
from torch.nn.modules.batchnorm import _BatchNorm

from imbdet.engine.unnoticed import unnoticed_draws
from imbdet.ops.buffers import untouched_buffers


class PreciseStatistics(PreciseBN):
    """detectron2's hook, whose passes would also change the running quantities of losses."""

    def update_stats(self) -> None:
        """Compute the statistics of BatchNorm. A collective call."""
        with unnoticed_draws(self._model), untouched_buffers(self._model, but=(_BatchNorm,)):
            super().update_stats()
