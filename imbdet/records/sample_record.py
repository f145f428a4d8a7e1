"""What a criterion tells of each sample."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from imbdet.structures import Samples
from imbdet.weighting import Weights


@dataclass(frozen=True, eq=False)
class SampleRecord:
    """The samples of one batch after they paid their losses. Everything is detached.

    Shape shorthand: M samples, image after image; P positives.

    Attributes:
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        gt_idxs: (M,) int64, the positives' ground truth, unique in the batch; -1 for all others.
        ious: (M,) IoU of anchor or proposal with its nearest ground truth, in [0, 1].
        num_per_image: number of samples of each image.
        pos_idxs: (P,) int64, rows of the positives.
        cls_losses: (M,) classification losses, before weights and normalizer; None for a ranking
            loss, which no single sample pays.
        box_losses: (P,) box losses of the positives, before weights and normalizer.
        cls_weights: (M,) factors of the classification losses, or None.
        box_weights: (P,) factors of the box losses, or None.
    """

    gt_labels: Tensor
    gt_idxs: Tensor
    ious: Tensor
    num_per_image: Sequence[int]
    pos_idxs: Tensor
    cls_losses: Tensor | None
    box_losses: Tensor
    cls_weights: Tensor | None
    box_weights: Tensor | None

    @classmethod
    def of(
        cls,
        samples: Samples,
        *,
        box_losses: Tensor,
        cls_losses: Tensor | None = None,
        weights: Weights | None = None,
    ) -> "SampleRecord":
        """The record of samples that paid these losses."""
        return cls(
            gt_labels=samples.gt_labels,
            gt_idxs=samples.gt_idxs,
            ious=samples.ious,
            num_per_image=samples.num_per_image,
            pos_idxs=samples.pos_idxs,
            cls_losses=None if cls_losses is None else cls_losses.detach(),
            box_losses=box_losses.detach(),
            cls_weights=None if weights is None else weights.cls.detach(),
            box_weights=None if weights is None else weights.box.detach(),
        )
