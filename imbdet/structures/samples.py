"""The chosen candidates, with the outputs of the head for them.

Shape shorthand: see :mod:`imbdet.structures`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from imbdet.ops.boxes import paired_iou
from imbdet.structures.candidates import Candidates
from imbdet.structures.outputs import BoxTransform, Outputs
from imbdet.structures.priors import Levels


@dataclass(frozen=True, eq=False)
class Positives:
    """The boxes of the positive samples. Boxes are XYXY in pixels.

    Attributes:
        boxes: (P, 4) anchors or proposals.
        gt_boxes: (P, 4) ground truth.
        pred_deltas: (P, 4) predicted deltas, of the ground-truth class where they are per class.
            With gradient.
        box2box_transform: transform that encodes and decodes deltas.
        levels: levels of anchors; None for proposals.
        weights: (P,) weights of the samples, or None; see :attr:`Samples.weights`.
    """

    boxes: Tensor
    gt_boxes: Tensor
    pred_deltas: Tensor
    box2box_transform: BoxTransform
    levels: Levels | None = None
    weights: Tensor | None = None

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
class Samples:
    """Chosen candidates and their outputs, from which weights and losses are computed.

    Attributes:
        candidates: M chosen candidates.
        outputs: outputs of the same rows, with gradient.
    """

    candidates: Candidates
    outputs: Outputs

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def gt_labels(self) -> Tensor:
        """See :class:`Candidates`, also for the properties that follow."""
        return self.candidates.gt_labels

    @property
    def gt_idxs(self) -> Tensor:
        return self.candidates.gt_idxs

    @property
    def ious(self) -> Tensor:
        return self.candidates.ious

    @property
    def num_classes(self) -> int:
        return self.candidates.num_classes

    @property
    def num_per_image(self) -> Sequence[int]:
        return self.candidates.num_per_image

    @property
    def image_idxs(self) -> Tensor:
        return self.candidates.image_idxs

    @property
    def pos_idxs(self) -> Tensor:
        return self.candidates.pos_idxs

    @property
    def neg_idxs(self) -> Tensor:
        return self.candidates.neg_idxs

    @property
    def weights(self) -> Tensor | None:
        return self.candidates.weights

    @property
    def pos_weights(self) -> Tensor | None:
        """(P,) weights of the positives, or None."""
        return None if self.weights is None else self.weights[self.pos_idxs]

    @property
    def pred_logits(self) -> Tensor:
        """(M, C) logits, see :class:`Outputs`; with gradient."""
        return self.outputs.logits

    @cached_property
    def scores(self) -> Tensor:
        """(M,) scores in [0, 1]: that of the object's class for positives, the highest for others.

        The background has no score. The type is float32 at least.
        """
        classifier, logits, rows = self.outputs.classifier, self.pred_logits, self.pos_idxs
        classes = classifier.best_classes(logits)
        classes[rows] = self.gt_labels[rows]
        return classifier.scores_of(classes, logits)

    @cached_property
    def pos_quality(self) -> Tensor:
        """(P,) quality of the positives in [0, 1], detached: targets of classification losses.

        It is the assigner's quality or, if that does not grade them, the IoU of the decoded boxes.
        """
        quality = self.candidates.quality
        return self.positives.pred_ious if quality is None else quality[self.pos_idxs]

    @cached_property
    def positives(self) -> Positives:
        """Boxes of the rows ``pos_idxs``."""
        rows = self.pos_idxs
        return Positives(
            boxes=self.candidates.boxes_of(rows),
            gt_boxes=self.candidates.gt_boxes_of(rows),
            pred_deltas=self.outputs.deltas_of(rows, self.gt_labels[rows]),
            box2box_transform=self.outputs.require_transform(),
            levels=self.candidates.levels_of(rows),
            weights=self.pos_weights,
        )
