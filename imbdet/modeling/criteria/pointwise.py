"""Last rooms: samples are weighted and pay their losses."""

from collections.abc import Callable

from torch import Tensor, nn

from imbdet.records import SampleRecord
from imbdet.structures import Positives, Samples
from imbdet.weighting import Weighting


class PointwiseCriterion(nn.Module):
    """Losses that are a sum over samples: each sample pays for itself, whatever the others do."""

    def __init__(
        self,
        *,
        cls_loss: Callable[..., Tensor],
        box_loss: Callable[[Positives], Tensor],
        weighting: Weighting | None = None,
        uses_ious: bool = False,
    ):
        """Put a classification loss, a box loss and a weighting together.

        Args:
            cls_loss: (M, C) logits and (M,) labels to (M,) losses.
            box_loss: positives to (P,) losses.
            weighting: factors of both; None is 1 for all.
            uses_ious: whether ``cls_loss`` takes a third argument, the (P,) IoUs of the decoded
                positives with their ground truth.
        """
        super().__init__()
        self.cls_loss = cls_loss
        self.box_loss = box_loss
        self.weighting = weighting
        self.uses_ious = uses_ious

    def forward(
        self, samples: Samples, normalizer: float | Tensor
    ) -> tuple[dict[str, Tensor], SampleRecord]:
        """Sum the weighted losses and divide by ``normalizer``.

        Returns:
            Scalars "loss_cls" and "loss_box_reg", connected to the predictions even if no sample
            is valid; and the samples' record.
        """
        quality = (samples.positives.pred_ious,) if self.uses_ious else ()
        cls_losses = self.cls_loss(samples.pred_logits, samples.gt_labels, *quality)
        box_losses = self.box_loss(samples.positives)
        weights = None
        cls_total, box_total = cls_losses, box_losses
        if self.weighting is not None:
            weights = self.weighting(samples, cls_losses.detach())
            cls_total, box_total = cls_losses * weights.cls, box_losses * weights.box
        losses = {
            "loss_cls": cls_total.sum() / normalizer,
            "loss_box_reg": box_total.sum() / normalizer,
        }
        record = SampleRecord.of(
            samples, box_losses=box_losses, cls_losses=cls_losses, weights=weights
        )
        return losses, record
