"""Rank & Sort: classification follows localisation, and the box loss follows classification.

Oksuz et al., "Rank & Sort Loss for Object Detection and Instance Segmentation", ICCV 2021,
https://arxiv.org/abs/2107.11669
"""

from typing import Any

from torch import Tensor

from imbdet.learning.criteria.criterion import Criterion
from imbdet.losses import rank_sort_loss
from imbdet.methods import CLS_LOSSES
from imbdet.methods.options import NonNegative
from imbdet.records import SampleRecord
from imbdet.structures import Samples
from imbdet.weighting import times


@CLS_LOSSES.register(
    "rank_sort",
    "Rank & Sort loss, with its own weight of the box loss.",
    "Oksuz et al., ICCV 2021, https://arxiv.org/abs/2107.11669",
    ranks=True,
    is_criterion=True,
)
class RankSortCriterion(Criterion):
    """Rank & Sort loss beside a box loss of the same value, so that no weight needs tuning."""

    def __init__(self, *, delta: NonNegative = 0.5, **shared: Any):
        """Rank and sort with the same step.

        Args:
            delta: half the width of the step, in logits; 0 is the hard step.
            shared: see :class:`Criterion`.
        """
        super().__init__(**shared)
        self.delta = delta

    def forward(
        self, samples: Samples, normalizer: float | Tensor
    ) -> tuple[dict[str, Tensor], SampleRecord]:
        """Rank the entries; ``normalizer`` is not needed.

        Returns:
            Scalars "loss_cls", ranking plus sorting error, and "loss_box_reg", the mean of the box
            losses weighted by the positives' highest scores and the weights of the samples, brought
            to the value of the first (sec. 3.2; all factors are detached); and the samples' record.
        """
        ranking, sorting = rank_sort_loss(
            samples.pred_logits,
            samples.gt_labels,
            samples.positives.pred_ious,
            delta=self.delta,
            **self.ranking_arguments(samples),
        )
        cls_loss = ranking + sorting
        box_losses = self.box_loss(samples.positives, self.group)
        scores = samples.pred_logits[samples.pos_idxs].detach().float().sigmoid().amax(dim=1)
        # A weighted mean that is scaled to another value keeps the shares of its terms alone.
        weighted = times(scores * box_losses, samples.pos_weights).sum()
        total = self.total(weighted)
        share = weighted / total.where(total != 0, 1)  # 0 without positives or with perfect boxes
        box_loss = self.num_processes * cls_loss.detach() * share
        losses = {"loss_cls": cls_loss, "loss_box_reg": box_loss}
        return losses, SampleRecord.of(samples, box_losses=box_losses)
