"""Seesaw loss: frequent classes punish rare ones less, unless these score higher.

Wang et al., "Seesaw Loss for Long-Tailed Instance Segmentation", CVPR 2021,
https://arxiv.org/abs/2008.10032
"""

import torch
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.nn import functional as F

from imbdet.losses.class_cross_entropy import check_columns, used_logits
from imbdet.methods import CLS_LOSSES
from imbdet.methods.options import NonNegative, Positive
from imbdet.ops.buffers import KeepsMissingBuffers
from imbdet.ops.exchange import total
from imbdet.ops.labels import check_labels, positive_entries
from imbdet.ops.sums import sum_by


@CLS_LOSSES.register(
    "seesaw",
    "Softmax cross-entropy in which frequent classes punish rare ones less.",
    "Wang et al., CVPR 2021, https://arxiv.org/abs/2008.10032",
    activation="softmax and objectness",
    takes=("group",),
    balances_classes=True,
)
class SeesawLoss(KeepsMissingBuffers):
    """Softmax cross-entropy of the classes with two factors, and of object against background.

    Attributes:
        class_counts: (K,) float64 buffer, the foreground samples of each class so far.
    """

    class_counts: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        p: NonNegative = 0.8,
        q: NonNegative = 2.0,
        eps: Positive = 0.01,
    ):
        """Start without samples.

        Args:
            num_classes: K.
            p: exponent of the mitigation, a ratio of frequencies of two classes; 0 is none.
            q: exponent of the compensation, a ratio of scores of two classes; 0 is none.
            eps: lower bound of the right class's score in the compensation.
        """
        super().__init__()
        self.num_classes, self.p, self.q, self.eps = num_classes, p, q, eps
        self.register_buffer("class_counts", torch.zeros(num_classes, dtype=torch.float64))

    def forward(
        self, pred_logits: Tensor, gt_labels: Tensor, group: ProcessGroup | None = None
    ) -> Tensor:
        """Count the samples, in training, and then weight their losses by the counts.

        Each sample has a loss of object or background, and one of the foreground also that of its
        class. The factors are detached.

        Args:
            pred_logits: (M, K + 2) logits: the classes, object and background. Scores:
                :class:`imbdet.structures.classifiers.ObjectnessSoftmax`.
            gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
            group: processes whose samples are counted together; None is this one alone.

        Returns:
            (M,) losses, 0 for ignored samples. The published code divides their sum by M.
        """
        check_labels(pred_logits, gt_labels, self.num_classes)
        check_columns(pred_logits, self.num_classes + 2)
        logits = used_logits(pred_logits, gt_labels)
        rows, classes = positive_entries(gt_labels, self.num_classes)
        if self.training:
            self.class_counts += total(sum_by(classes, None, self.num_classes), group)
        is_background = (gt_labels == self.num_classes).long()
        # Objectness, sec. 3.3.
        losses = F.cross_entropy(logits[:, self.num_classes :], is_background, reduction="none")
        losses = losses.masked_fill(gt_labels < 0, 0)
        class_logits = logits[rows, : self.num_classes]
        # sigma_i = e^{z_i} / sum_j S_ij e^{z_j}: the factors are added as logarithms (eq. 4).
        raised = class_logits + self._log_factors(class_logits.detach(), classes)
        return losses.index_add(0, rows, F.cross_entropy(raised, classes, reduction="none"))

    def _log_factors(self, logits: Tensor, classes: Tensor) -> Tensor:
        """(P, K) ln(M_ij C_ij) (eq. 6), 0 for the right class; logs neither overflow nor vanish."""
        log_counts = self.class_counts.clamp(min=1).log().to(logits.dtype)
        mitigation = self.p * (log_counts - log_counts[classes][:, None]).clamp(max=0)  # eq. 7
        log_scores = logits.log_softmax(dim=1)
        right = log_scores.gather(1, classes[:, None]).exp().clamp(min=self.eps).log()
        return mitigation + self.q * (log_scores - right).clamp(min=0)  # eq. 8
