"""Losses of the whole ranking: what a sample pays depends on all others."""

from collections.abc import Callable

from torch import Tensor, nn

from imbdet.modeling.criteria.scope import scope_arguments
from imbdet.modeling.criteria.terms import BoxLoss, total
from imbdet.records import SampleRecord
from imbdet.structures import Samples


class RankingCriterion(nn.Module):
    """A ranking loss for classification beside a box loss of each positive."""

    def __init__(self, *, cls_loss: Callable[..., Tensor], box_loss: BoxLoss, scope: str = "batch"):
        """Put a ranking loss and a box loss together.

        Args:
            cls_loss: (M, K) logits, (M,) labels and, as a keyword, the scope's ``image_idxs`` to a
                scalar, already normalized.
            box_loss: loss of the positives.
            scope: see :func:`scope_arguments`.
        """
        super().__init__()
        self.cls_loss = cls_loss
        self.box_loss = box_loss
        self.scope = scope

    def forward(
        self, samples: Samples, normalizer: float | Tensor
    ) -> tuple[dict[str, Tensor], SampleRecord]:
        """Rank the entries; only the box losses are divided by ``normalizer``.

        Returns:
            Scalars "loss_cls" and "loss_box_reg", connected to the predictions even if there is no
            positive; and the samples' record, without a classification loss of each sample.
        """
        box_losses = self.box_loss(samples.positives)
        losses = {
            "loss_cls": self.cls_loss(
                samples.pred_logits, samples.gt_labels, **scope_arguments(self.scope, samples)
            ),
            "loss_box_reg": total(box_losses, self.box_loss, normalizer),
        }
        return losses, SampleRecord.of(samples, box_losses=box_losses)
