"""Rank & Sort: classification follows localisation, and the box loss follows classification.

Oksuz et al., "Rank & Sort Loss for Object Detection and Instance Segmentation", ICCV 2021,
https://arxiv.org/abs/2107.11669
"""

import torch
from torch import Tensor, nn

from imbdet.losses import rank_sort_loss
from imbdet.modeling.criteria.scope import scope_arguments
from imbdet.modeling.criteria.terms import BoxLoss
from imbdet.records import SampleRecord
from imbdet.structures import Samples


class RankSortCriterion(nn.Module):
    """Rank & Sort loss beside a box loss of the same value, so that there is nothing to tune."""

    def __init__(self, *, box_loss: BoxLoss, delta: float, scope: str = "batch"):
        """Put the loss and its companion together.

        Args:
            box_loss: loss of the positives.
            delta: half the width of the step.
            scope: see :func:`scope_arguments`.
        """
        super().__init__()
        self.box_loss = box_loss
        self.delta = delta
        self.scope = scope

    def forward(
        self, samples: Samples, normalizer: float | Tensor
    ) -> tuple[dict[str, Tensor], SampleRecord]:
        """Rank the entries; ``normalizer`` is not needed.

        Returns:
            Scalars "loss_cls", ranking plus sorting error, and "loss_box_reg", the mean of the box
            losses weighted by the positives' highest scores, brought to the value of the first
            (sec. 3.2; both factors are detached); and the samples' record.
        """
        ranking, sorting = rank_sort_loss(
            samples.pred_logits,
            samples.gt_labels,
            samples.positives.pred_ious,
            delta=self.delta,
            **scope_arguments(self.scope, samples),
        )
        cls_loss = ranking + sorting
        box_losses = self.box_loss(samples.positives)
        scores = samples.pred_logits[samples.pos_idxs].detach().float().sigmoid().amax(dim=1)
        tiny = torch.finfo(scores.dtype).tiny  # nothing to divide: no positives, or perfect boxes
        box_loss = (scores * box_losses).sum() / scores.sum().clamp(min=tiny)
        balance = cls_loss.detach() / box_loss.detach().clamp(min=tiny)
        balance = torch.where(box_loss.detach() > 0, balance, 1)
        losses = {"loss_cls": cls_loss, "loss_box_reg": balance * box_loss}
        return losses, SampleRecord.of(samples, box_losses=box_losses)
