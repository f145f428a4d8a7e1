"""Equalization loss v2: weights of positives and negatives by the gradients of a class so far.

Tan et al., "Equalization Loss v2: A New Gradient Balance Approach for Long-tailed Object
Detection", CVPR 2021, https://arxiv.org/abs/2012.08548
"""

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from imbdet.losses.class_cross_entropy import check_columns, weighted_sigmoid_cross_entropy
from imbdet.losses.gradient_ratio import GradientRatio
from imbdet.methods import CLS_LOSSES
from imbdet.methods.options import NonNegative
from imbdet.ops.labels import check_labels, positive_entries
from imbdet.ops.precision import at_least_float32


@CLS_LOSSES.register(
    "eqlv2",
    "Sigmoid cross-entropy that raises positives and lowers negatives of classes with few.",
    "Tan et al., CVPR 2021, https://arxiv.org/abs/2012.08548",
    activation="sigmoid beside background",
    takes=("group",),
    balances_classes=True,
)
class EQLv2Loss(GradientRatio):
    """Sigmoid cross-entropy that weights up positives and down negatives of rare classes."""

    def __init__(
        self,
        num_classes: int,
        *,
        gamma: NonNegative = 12.0,
        mu: float = 0.8,
        alpha: NonNegative = 4.0,
    ):
        """Start with a ratio of 100, at which all weights are 1.

        Args:
            num_classes: K.
            gamma: slope of the weights over the ratio.
            mu: ratio at which the weight of negatives is 1/2.
            alpha: largest amount by which the weight of positives exceeds 1.
        """
        super().__init__(num_classes)
        self.gamma, self.mu, self.alpha = gamma, mu, alpha

    def forward(
        self, pred_logits: Tensor, gt_labels: Tensor, group: ProcessGroup | None = None
    ) -> Tensor:
        """Weight the losses by the gradients so far; in training, add those of the batch then.

        Args:
            pred_logits: (M, K + 1) logits, the background last, as one more sigmoid, whose entries
                weigh 1. Scores: :class:`imbdet.structures.classifiers.SigmoidBesideBackground`.
            gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
            group: processes whose gradients are added; None is this one alone.

        Returns:
            (M,) losses, 0 for ignored samples. The published code divides their sum by M.
        """
        check_labels(pred_logits, gt_labels, self.num_classes)
        check_columns(pred_logits, self.num_classes + 1)
        neg_weights = torch.sigmoid(self.gamma * (self.ratios(start=100.0) - self.mu))
        neg_weights = torch.cat([neg_weights, neg_weights.new_ones(1)])
        pos_weights = 1 + self.alpha * (1 - neg_weights)
        losses = weighted_sigmoid_cross_entropy(pred_logits, gt_labels, pos_weights, neg_weights)
        distances = at_least_float32(pred_logits.detach()).sigmoid()
        distances = distances.masked_fill((gt_labels < 0)[:, None], 0).double()
        rows, classes = positive_entries(gt_labels, self.num_classes)
        missing = (-at_least_float32(pred_logits.detach()[rows, classes])).sigmoid().double()
        distances[rows, classes] = 0
        neg_grads = (distances.sum(dim=0) * neg_weights)[:-1]
        pos_grads = torch.zeros_like(neg_grads).index_add_(0, classes, missing) * pos_weights[:-1]
        self.collect(pos_grads, neg_grads, group)
        return losses
