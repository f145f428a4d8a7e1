"""Predictions on validation images, and how right they are, without an assigner.

Shape shorthand: M rows, K classes. An entry is a row and a class.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from imbdet.assigners.pairs import box_iou
from imbdet.structures import Outputs, Priors, Targets

# IoU thresholds of COCO's AP.
IOU_THRESHOLDS = tuple(0.5 + 0.05 * i for i in range(10))
# Least distance of scores from 0 and 1, to which they are clipped.
_EPS = 1e-12


@dataclass(frozen=True, eq=False)
class Entries:
    """The entries of a batch.

    Attributes:
        log_odds: (M, K) float64 log-odds of the scores, with gradient.
        ious: (M, K) in [0, 1], IoU of the box that the row predicts for the class with the best
            object of the class; 0 where the image has none.
        gt_idxs: (M, K) int64, index of that object; -1 where there is none.
        is_counted: (M, K) bool, whether losses count the entry.
    """

    log_odds: Tensor
    ious: Tensor
    gt_idxs: Tensor
    is_counted: Tensor


def find_entries(
    outputs: Outputs, priors: Priors, targets: Targets, is_in_region: Tensor | None = None
) -> Entries:
    """Compare the predictions with the objects, as a test does, but without NMS.

    Args:
        outputs: outputs of all rows, with gradient.
        priors: priors of the batch.
        targets: objects of the batch.
        is_in_region: (M,) bool, whether a row lies in an ignored region.
    """
    scores = outputs.classifier.scores(outputs.logits.double())
    ious, gt_idxs = _best_objects(outputs.detach(), priors, targets, scores.shape[1])
    is_counted = torch.ones_like(ious, dtype=torch.bool)
    if is_in_region is not None:
        is_counted &= ~is_in_region[:, None] | (ious >= IOU_THRESHOLDS[0])
    return Entries(torch.logit(scores, eps=_EPS), ious, gt_idxs, is_counted)


def _best_objects(
    outputs: Outputs, priors: Priors, targets: Targets, num_classes: int
) -> tuple[Tensor, Tensor]:
    ious = priors.boxes.new_zeros(len(outputs), num_classes)
    gt_idxs = torch.full(ious.shape, -1, device=ious.device)
    start = 0
    for image, number in enumerate(priors.counts(targets.num_images)):
        rows = torch.arange(start, start + number, device=ious.device)
        start += number
        of_image = targets.image_idxs == image
        for label in targets.classes[of_image].unique():
            objects = (of_image & (targets.classes == label)).nonzero().squeeze(1)
            deltas = outputs.deltas_of(rows, label.expand(number))
            boxes = outputs.require_transform().apply_deltas(deltas, priors.boxes_at(rows))
            overlaps = box_iou(boxes[:, None], targets.boxes[objects])
            ious[rows, label], best = overlaps.max(dim=1)
            gt_idxs[rows, label] = objects[best]
    return ious, gt_idxs
