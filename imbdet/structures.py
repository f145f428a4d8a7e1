"""What flows from room to room: candidates are assigned and sampled, samples are weighted and pay.

Shape shorthand: R candidates of one image, M candidates or samples of the whole batch (image after
image), P positives among them, G ground-truth boxes of the batch, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from imbdet.losses.iou import paired_iou
from imbdet.losses.labels import positive_entries


class Choice(NamedTuple):
    """What a sampler chose from candidates.

    Attributes:
        idxs: (S,) int64 indices into the M candidates, image after image; ``slice(None)`` = all.
        num_per_image: how many of each image.
        ranks: (S,) int64 importance of a sample, 0 = most important, -1 = not ranked; or None.
    """

    idxs: Tensor | slice
    num_per_image: Sequence[int]
    ranks: Tensor | None = None

    def rows(self, idxs: Tensor) -> Tensor:
        """The candidates' indices of the samples ``idxs``."""
        return idxs if isinstance(self.idxs, slice) else self.idxs[idxs]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Anchors or proposals of a batch, assigned to ground truth.

    Attributes:
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        gt_idxs: (M,) int64, index in [0, G) of a positive's ground truth; -1 for all others.
        ious: (M,) float in [0, 1], highest IoU of the box with any ground truth of its image.
        num_per_image: number of candidates of each image.
        num_classes: K.
    """

    gt_labels: Tensor
    gt_idxs: Tensor
    ious: Tensor
    num_per_image: Sequence[int]
    num_classes: int

    def __len__(self) -> int:
        return len(self.gt_labels)

    @cached_property
    def pos_idxs(self) -> Tensor:
        """(P,) int64, rows of the positives, ascending."""
        return positive_entries(self.gt_labels, self.num_classes)[0]

    @cached_property
    def image_idxs(self) -> Tensor:
        """(M,) int64, the image of each row."""
        counts = torch.tensor(self.num_per_image, device=self.gt_labels.device)
        return torch.arange(len(counts), device=counts.device).repeat_interleave(counts)

    def take(self, choice: Choice) -> "Candidates":
        """The chosen rows."""
        return Candidates(
            gt_labels=self.gt_labels[choice.idxs],
            gt_idxs=self.gt_idxs[choice.idxs],
            ious=self.ious[choice.idxs],
            num_per_image=choice.num_per_image,
            num_classes=self.num_classes,
        )


@dataclass(frozen=True, eq=False)
class Positives:
    """The boxes of the positive samples. Boxes are XYXY in pixels.

    Attributes:
        boxes: (P, 4) anchors or proposals.
        gt_boxes: (P, 4) their ground truth.
        pred_deltas: (P, 4) predicted deltas, of the ground-truth class where they are per class.
            With gradient.
        box2box_transform: has ``get_deltas(boxes, gt_boxes)`` and ``apply_deltas(deltas, boxes)``.
    """

    boxes: Tensor
    gt_boxes: Tensor
    pred_deltas: Tensor
    box2box_transform: Any

    @cached_property
    def gt_deltas(self) -> Tensor:
        """(P, 4) deltas that lead from the boxes to the ground truth."""
        return self.box2box_transform.get_deltas(self.boxes, self.gt_boxes)

    @cached_property
    def pred_boxes(self) -> Tensor:
        """(P, 4) decoded predictions, with gradient."""
        return self.box2box_transform.apply_deltas(self.pred_deltas, self.boxes)

    @cached_property
    def pred_ious(self) -> Tensor:
        """(P,) IoU of the decoded prediction with its ground truth, in [0, 1], detached."""
        return paired_iou(self.pred_boxes.detach(), self.gt_boxes)


@dataclass(frozen=True, eq=False)
class Samples(Candidates):
    """Chosen candidates with their predictions: all that a weighting and a criterion look at.

    Attributes:
        pred_logits: (M, K) for sigmoid losses, (M, K + 1) for softmax; with gradient.
        positives: boxes of the rows ``pos_idxs``.
        ranks: (M,) int64 given by the sampler, or None.
    """

    pred_logits: Tensor
    positives: Positives
    ranks: Tensor | None = None

    @classmethod
    def of(cls, chosen: Candidates, **predictions: Any) -> "Samples":
        """Join chosen candidates with ``pred_logits``, ``positives`` and ``ranks``."""
        return cls(**{f.name: getattr(chosen, f.name) for f in fields(Candidates)}, **predictions)
