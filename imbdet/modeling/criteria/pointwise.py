"""Last rooms: samples are weighted and pay their losses."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from imbdet.buffers import untouched_buffers
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
        carl: Callable[[Samples], Tensor] | None = None,
        guided_scale: bool = False,
    ):
        """Put the two losses together with what changes their weights.

        Args:
            cls_loss: of each sample.
            box_loss: of each positive.
            weighting: factors of the samples' losses; None is 1 for all.
            carl: (P,) factors, with gradient, of a second box loss (classification-aware
                regression loss); None leaves it out.
            guided_scale: bring the classification loss to the value of the box loss, so that
                without sampling the many negatives do not drown the boxes (Chen et al., "Is
                Sampling Heuristics Necessary in Training Deep Object Detectors?", 2019,
                https://arxiv.org/abs/1909.04868). The factor is detached.
        """
        super().__init__()
        self.cls_loss = cls_loss
        self.box_loss = box_loss
        self.weighting = weighting
        self.carl = carl
        self.guided_scale = guided_scale

    def forward(
        self, samples: Samples, normalizer: float | Tensor
    ) -> tuple[dict[str, Tensor], SampleRecord]:
        """Sum the weighted losses and divide by ``normalizer``.

        Returns:
            Scalars "loss_cls", "loss_box_reg" and perhaps "loss_carl", connected to the predictions
            even if no sample is valid; and the samples' record.
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
        if self.guided_scale:
            losses["loss_cls"] = _scaled_to(losses["loss_cls"], losses["loss_box_reg"])
        if self.carl is not None:
            carl_losses = self.carl(samples) * box_losses
            losses["loss_carl"] = total(carl_losses, self.box_loss, normalizer)
        record = SampleRecord.of(
            samples, box_losses=box_losses, cls_losses=cls_losses, weights=weights
        )
        return losses, record

    @torch.no_grad()
    def preview(self, samples: Samples) -> Tensor:
        """(M,) classification losses of samples that do not learn: nothing running moves."""
        with untouched_buffers(self.cls_loss):
            return self.cls_loss(samples)


def _scaled_to(loss: Tensor, value: Tensor) -> Tensor:
    """The loss, brought to a value by a detached factor."""
    tiny = torch.finfo(loss.dtype).tiny
    return loss * (value / loss.clamp(min=tiny)).detach()
