"""Losses of the whole ranking: what a sample pays depends on all others."""

from collections.abc import Callable

from torch import Tensor, nn

from imbdet.records import SampleRecord
from imbdet.structures import Positives, Samples


class RankingCriterion(nn.Module):
    """A ranking loss for classification beside a box loss of each positive."""

    def __init__(
        self,
        *,
        cls_loss: Callable[[Tensor, Tensor], Tensor],
        box_loss: Callable[[Positives], Tensor],
    ):
        """Put a ranking loss and a box loss together.

        Args:
            cls_loss: (M, K) logits and (M,) labels to a scalar, already normalized.
            box_loss: positives to (P,) losses.
        """
        super().__init__()
        self.cls_loss = cls_loss
        self.box_loss = box_loss

    def forward(
        self, samples: Samples, normalizer: float | Tensor
    ) -> tuple[dict[str, Tensor], SampleRecord]:
        """Rank all entries of the batch; only the box losses are divided by ``normalizer``.

        Returns:
            Scalars "loss_cls" and "loss_box_reg", connected to the predictions even if there is no
            positive; and the samples' record, without a classification loss of each sample.
        """
        box_losses = self.box_loss(samples.positives)
        losses = {
            "loss_cls": self.cls_loss(samples.pred_logits, samples.gt_labels),
            "loss_box_reg": box_losses.sum() / normalizer,
        }
        return losses, SampleRecord.of(samples, box_losses=box_losses)
