"""The last stages: samples are weighted, and their losses are computed."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from imbdet.learning.criteria.criterion import Criterion
from imbdet.learning.criteria.terms import SampleLoss
from imbdet.ops.buffers import untouched_buffers
from imbdet.records import SampleRecord
from imbdet.structures import Samples
from imbdet.weighting import Weighting, times


class PointwiseCriterion(Criterion):
    """Losses that are sums over samples, each of which has a loss of its own."""

    has_sample_losses = True

    def __init__(
        self,
        *,
        cls_loss: SampleLoss,
        weighting: Weighting | None = None,
        carl: Callable[[Samples], Tensor] | None = None,
        guided_scale: bool = False,
        **shared: Any,
    ):
        """Combine the two losses and their weights.

        Args:
            cls_loss: classification loss of each sample.
            weighting: weighting of the samples' losses; None is 1 for all.
            carl: function that returns (P,) factors, with gradient, of a second box loss
                (classification-aware regression loss); None leaves it out.
            guided_scale: whether to scale the classification loss to the value of the box loss, so
                that without sampling the many negatives do not dominate (Chen et al., "Is Heuristic
                Sampling Necessary in Training Deep Object Detectors?", TIP 2021,
                https://arxiv.org/abs/1909.04868). The factor is detached.
            shared: see :class:`Criterion`.
        """
        super().__init__(**shared)
        self.cls_loss = cls_loss
        self.classifier = cls_loss.classifier
        self.weighting = weighting
        self.carl = carl
        self.guided_scale = guided_scale

    def forward(
        self, samples: Samples, normalizer: float | Tensor
    ) -> tuple[dict[str, Tensor], SampleRecord]:
        """Sum the weighted losses and divide by ``normalizer``.

        Returns:
            Scalars "loss_cls", those of :meth:`positive_losses` and, with CARL, "loss_carl",
            connected to the predictions even if no sample is valid; and the samples' record.
        """
        cls_losses = self.cls_loss(samples, self.group, normalizer)
        box_losses = self.box_loss(samples.positives, self.group)
        weights, box_weights = None, None
        cls_weighted = times(cls_losses, samples.weights)
        if self.weighting is not None:
            weights = self.weighting(samples, cls_weighted.detach())
            box_weights, cls_weighted = weights.box, cls_weighted * weights.cls
        losses = {
            "loss_cls": self.reduced(cls_weighted, self.cls_loss, normalizer),
            **self.positive_losses(samples, normalizer, box_losses, box_weights),
        }
        if self.guided_scale:
            both = [losses["loss_cls"], losses["loss_box_reg"]]
            cls_total, box_total = self.total(torch.stack(both))
            # With perfect scores the classification loss is 0, and stays so.
            scale = box_total / cls_total.clamp(min=torch.finfo(cls_total.dtype).eps)
            losses["loss_cls"] = scale * losses["loss_cls"]
        if self.carl is not None:
            carl_losses = times(self.carl(samples) * box_losses, samples.pos_weights)
            losses["loss_carl"] = self.reduced(carl_losses, self.box_loss, normalizer)
        record = SampleRecord.of(
            samples, box_losses=box_losses, cls_losses=cls_losses, weights=weights
        )
        return losses, record

    @torch.no_grad()
    def sample_losses(self, samples: Samples) -> Tensor:
        """(M,) classification losses of samples, without gradient; running quantities stay.

        Processes exchange nothing, whatever the scope, since one of them may call this alone.
        """
        with untouched_buffers(self.cls_loss):
            losses: Tensor = self.cls_loss(samples)
            return losses
