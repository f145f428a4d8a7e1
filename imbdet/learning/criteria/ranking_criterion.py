"""Losses of the whole ranking: the loss of a sample depends on all others."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from imbdet.learning.criteria.criterion import Criterion
from imbdet.records import SampleRecord
from imbdet.structures import Samples


class RankingCriterion(Criterion):
    """A ranking loss for classification beside a box loss of each positive."""

    def __init__(self, *, cls_loss: Callable[..., Tensor], **shared: Any):
        """Combine a ranking loss and a box loss.

        Args:
            cls_loss: function of (M, K) logits, (M,) labels and, as keywords, the scope's
                ``image_idxs`` or ``group``, and ``weights`` (M,) of the samples if they have some,
                that returns a scalar, already normalized.
            shared: see :class:`Criterion`.
        """
        super().__init__(**shared)
        self.cls_loss = cls_loss

    def forward(
        self, samples: Samples, normalizer: float | Tensor
    ) -> tuple[dict[str, Tensor], SampleRecord]:
        """Rank the entries; only the other losses are divided by ``normalizer``.

        Returns:
            Scalars "loss_cls" and those of :meth:`positive_losses`, connected to the predictions
            even if there is no positive; and the samples' record, without a classification loss of
            each sample.
        """
        box_losses = self.box_loss(samples.positives, self.group)
        losses = {
            "loss_cls": self.cls_loss(
                samples.pred_logits, samples.gt_labels, **self.ranking_arguments(samples)
            ),
            **self.positive_losses(samples, normalizer, box_losses),
        }
        return losses, SampleRecord.of(samples, box_losses=box_losses)
