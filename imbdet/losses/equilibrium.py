"""Equilibrium loss (LOCE): logits are raised by the running mean scores of their classes.

Feng et al., "Exploring Classification Equilibrium in Long-Tailed Object Detection", ICCV 2021,
https://arxiv.org/abs/2108.07507. Its memory of features is left out.
"""

from typing import Annotated

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from imbdet.losses.class_cross_entropy import check_columns, used_logits
from imbdet.losses.logit_adjustment import logit_adjusted_loss
from imbdet.methods import CLS_LOSSES
from imbdet.methods.options import Momentum, Range
from imbdet.ops.buffers import KeepsMissingBuffers
from imbdet.ops.exchange import total
from imbdet.ops.labels import check_labels, positive_entries
from imbdet.ops.sums import sum_by


@CLS_LOSSES.register(
    "equilibrium",
    "Softmax cross-entropy with logits that are raised by the running scores of their classes.",
    "Feng et al., ICCV 2021, https://arxiv.org/abs/2108.07507",
    activation="softmax",
    takes=("group", "gt_idxs"),
    balances_classes=True,
)
class EquilibriumLoss(KeepsMissingBuffers):
    """:func:`imbdet.losses.logit_adjusted_loss` with the mean scores of the classes as priors.

    Attributes:
        class_scores: (K + 1,) float64 buffer, the running mean score of each class's objects, and
            the constant score of the background.
    """

    class_scores: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        momentum: Momentum = 0.9,
        start: Annotated[float, Range(0, 1, above=True)] = 0.01,
    ):
        """Start with the same score for all classes.

        Args:
            num_classes: K.
            momentum: weight of the past for each object of a class.
            start: score with which the classes begin, and which the background keeps.
        """
        super().__init__()
        self.num_classes, self.momentum = num_classes, momentum
        scores = torch.full((num_classes + 1,), start, dtype=torch.float64)
        self.register_buffer("class_scores", scores)

    def forward(
        self,
        pred_logits: Tensor,
        gt_labels: Tensor,
        group: ProcessGroup | None = None,
        *,
        gt_idxs: Tensor,
    ) -> Tensor:
        """Update the mean scores by the batch, in training, and then raise the logits by them.

        Args:
            pred_logits: (M, K + 1) logits, the background last.
            gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
            group: processes whose objects are averaged together; None is this one alone.
            gt_idxs: (M,) int64, the object of each positive.

        Returns:
            (M,) losses, 0 for ignored samples. The published code divides their sum by M.
        """
        check_labels(pred_logits, gt_labels, self.num_classes)
        check_columns(pred_logits, self.num_classes + 1)
        if self.training:
            self._update(pred_logits, gt_labels, gt_idxs, group)
        return logit_adjusted_loss(pred_logits, gt_labels, self.class_scores)

    @torch.no_grad()
    def _update(
        self, pred_logits: Tensor, gt_labels: Tensor, gt_idxs: Tensor, group: ProcessGroup | None
    ) -> None:
        rows, classes = positive_entries(gt_labels, self.num_classes)
        scores = used_logits(pred_logits, gt_labels).softmax(dim=1)[rows, classes].double()
        objects, numbers = gt_idxs[rows].unique(return_inverse=True)
        means = scores.new_zeros(len(objects)).index_add_(0, numbers, scores)
        means /= sum_by(numbers, None, len(objects))
        labels = torch.empty_like(objects).index_copy_(0, numbers, classes)
        sums = means.new_zeros(self.num_classes).index_add_(0, labels, means)
        counts = sum_by(labels, None, self.num_classes)
        sums, counts = total(torch.stack([sums, counts]), group)
        past = self.momentum**counts
        own = self.class_scores[:-1]
        own.copy_(past * own + (1 - past) * sums / counts.clamp(min=1))
