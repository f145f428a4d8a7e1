"""What flows from room to room: candidates are assigned and sampled, samples are weighted and pay.

Shape shorthand: R candidates of one image, M candidates or samples of the whole batch (image after
image), P positives and N negatives among them, G ground-truth boxes of the batch, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from imbdet.ops.boxes import paired_iou


class Levels(NamedTuple):
    """Levels of the feature pyramid.

    Attributes:
        idxs: (M,) int64 in [0, number), the level of each row.
        number: how many there are, with or without rows.
    """

    idxs: Tensor
    number: int

    def rows(self) -> list[Tensor]:
        """int64 rows of each level, ascending."""
        return [(self.idxs == level).nonzero().squeeze(1) for level in range(self.number)]

    def take(self, idxs: Tensor | slice) -> "Levels":
        """Those of some rows."""
        return Levels(self.idxs[idxs], self.number)


class Choice(NamedTuple):
    """What a sampler chose from candidates.

    Attributes:
        idxs: (S,) int64 indices into the M candidates, image after image; ``slice(None)`` = all.
        num_per_image: how many of each image.
        importance: (S,) float in (0, 1], 1 = most important, as the sampler ranks them (1 for those
            it does not rank); or None.
    """

    idxs: Tensor | slice
    num_per_image: Sequence[int]
    importance: Tensor | None = None

    def rows(self, idxs: Tensor) -> Tensor:
        """The candidates' indices of the samples ``idxs``."""
        return idxs if isinstance(self.idxs, slice) else self.idxs[idxs]


def deltas_of_class(pred_deltas: Tensor, classes: Tensor) -> Tensor:
    """(R, 4) deltas of one class for each row.

    Args:
        pred_deltas: (R, 4) for all classes alike, or (R, 4 K).
        classes: (R,) int64 in [0, K).
    """
    if pred_deltas.shape[1] == 4:
        return pred_deltas
    rows = torch.arange(len(classes), device=classes.device)
    of_classes: Tensor = pred_deltas.unflatten(1, (-1, 4))
    return of_classes[rows, classes]


class BoxTransform(Protocol):
    """How boxes become deltas and deltas boxes, such as detectron2's ``Box2BoxTransform``."""

    def get_deltas(self, boxes: Tensor, gt_boxes: Tensor, /) -> Tensor:
        """(R, 4) deltas that lead from boxes, (R, 4), to the ground truth, (R, 4)."""
        ...

    def apply_deltas(self, deltas: Tensor, boxes: Tensor, /) -> Tensor:
        """(R, 4) boxes to which deltas, (R, 4), lead from boxes, (R, 4)."""
        ...


@dataclass(frozen=True, eq=False)
class Predictions:
    """What the detector says of every candidate before any is chosen. Everything is detached.

    Attributes:
        cls_losses: (M,) classification losses, before weights and normalizer, >= 0; or None.
        scores: (M, K) scores of the classes, in [0, 1]; or None.
        pred_deltas: (M, 4) or, for each class, (M, 4 K).
        boxes: (M, 4) anchors or proposals, XYXY in pixels.
        gt_boxes: (G, 4) ground truth of the batch.
        box2box_transform: decodes the deltas.
    """

    cls_losses: Tensor | None
    scores: Tensor | None
    pred_deltas: Tensor
    boxes: Tensor
    gt_boxes: Tensor
    box2box_transform: BoxTransform

    def decode(self, rows: Tensor, classes: Tensor) -> Tensor:
        """(R, 4) boxes of the candidates ``rows`` after the regression for ``classes``, (R,)."""
        deltas = deltas_of_class(self.pred_deltas[rows], classes)
        return self.box2box_transform.apply_deltas(deltas, self.boxes[rows])


@dataclass(frozen=True, eq=False)
class Candidates:
    """Anchors or proposals of a batch, assigned to ground truth.

    Attributes:
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        gt_idxs: (M,) int64, index in [0, G) of a positive's ground truth; -1 for all others.
        ious: (M,) float in [0, 1], highest IoU of the box with any ground truth of its image.
        num_per_image: number of candidates of each image.
        num_classes: K.
        predictions: for a sampler that needs them, otherwise None.
    """

    gt_labels: Tensor
    gt_idxs: Tensor
    ious: Tensor
    num_per_image: Sequence[int]
    num_classes: int
    predictions: Predictions | None = None

    def __len__(self) -> int:
        return len(self.gt_labels)

    @cached_property
    def is_positive(self) -> Tensor:
        """(M,) bool."""
        return (self.gt_labels >= 0) & ~self.is_negative

    @cached_property
    def is_negative(self) -> Tensor:
        """(M,) bool; ignored rows are neither positive nor negative."""
        return self.gt_labels == self.num_classes

    @cached_property
    def pos_idxs(self) -> Tensor:
        """(P,) int64, rows of the positives, ascending."""
        return self.is_positive.nonzero().squeeze(1)

    @cached_property
    def neg_idxs(self) -> Tensor:
        """(N,) int64, rows of the negatives, ascending."""
        return self.is_negative.nonzero().squeeze(1)

    @cached_property
    def image_idxs(self) -> Tensor:
        """(M,) int64, the image of each row."""
        counts = torch.tensor(self.num_per_image, device=self.gt_labels.device)
        return torch.arange(len(counts), device=counts.device).repeat_interleave(counts)

    def take(self, choice: Choice) -> "Candidates":
        """The chosen rows, without predictions."""
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
        box2box_transform: encodes and decodes deltas.
        levels: of anchors; None for proposals.
    """

    boxes: Tensor
    gt_boxes: Tensor
    pred_deltas: Tensor
    box2box_transform: BoxTransform
    levels: Levels | None = None

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


@dataclass(frozen=True, eq=False, kw_only=True)
class Samples(Candidates):
    """Chosen candidates with their predictions: all that a weighting and a criterion look at.

    Attributes:
        pred_logits: (M, K) for sigmoid losses, (M, K + 1) for softmax; with gradient.
        positives: boxes of the rows ``pos_idxs``.
        importance: (M,) float in (0, 1] given by the sampler, or None; see :class:`Choice`.
        levels: of anchors; None for proposals.
    """

    pred_logits: Tensor
    positives: Positives
    importance: Tensor | None = None
    levels: Levels | None = None

    @classmethod
    def join(
        cls,
        chosen: Candidates,
        *,
        pred_logits: Tensor,
        positives: Positives,
        importance: Tensor | None = None,
        levels: Levels | None = None,
    ) -> "Samples":
        """Chosen candidates with their predictions; see the attributes."""
        return cls(
            **{field.name: getattr(chosen, field.name) for field in fields(Candidates)},
            pred_logits=pred_logits,
            positives=positives,
            importance=importance,
            levels=levels,
        )
