"""Last rooms: samples are weighted and pay their losses."""

from torch import Tensor, nn

from imbdet.modeling.criteria.terms import BoxLoss, SampleLoss, total
from imbdet.records import SampleRecord
from imbdet.structures import Samples
from imbdet.weighting import Weighting


class PointwiseCriterion(nn.Module):
    """Losses that are a sum over samples: each sample pays for itself, whatever the others do."""

    def __init__(
        self,
        *,
        cls_loss: SampleLoss,
        box_loss: BoxLoss,
        weighting: Weighting | None = None,
    ):
        """Put a classification loss, a box loss and a weighting (None is 1 for all) together."""
        super().__init__()
        self.cls_loss = cls_loss
        self.box_loss = box_loss
        self.weighting = weighting

    def forward(
        self, samples: Samples, normalizer: float | Tensor
    ) -> tuple[dict[str, Tensor], SampleRecord]:
        """Sum the weighted losses and divide by ``normalizer``.

        Returns:
            Scalars "loss_cls" and "loss_box_reg", connected to the predictions even if no sample
            is valid; and the samples' record.
        """
        cls_losses = self.cls_loss(samples)
        box_losses = self.box_loss(samples.positives)
        weights = None
        cls_weighted, box_weighted = cls_losses, box_losses
        if self.weighting is not None:
            weights = self.weighting(samples, cls_losses.detach())
            cls_weighted, box_weighted = cls_losses * weights.cls, box_losses * weights.box
        losses = {
            "loss_cls": total(cls_weighted, self.cls_loss, normalizer),
            "loss_box_reg": total(box_weighted, self.box_loss, normalizer),
        }
        record = SampleRecord.of(
            samples, box_losses=box_losses, cls_losses=cls_losses, weights=weights
        )
        return losses, record
