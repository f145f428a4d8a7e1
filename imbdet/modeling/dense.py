"""Samples of a dense head, whose anchors are the same for every image."""

from collections.abc import Sequence
from typing import Any

from detectron2.structures import Boxes, Instances
from torch import Tensor

from imbdet.structures import Candidates, Choice, Positives, Samples


def dense_samples(
    candidates: Candidates,
    choice: Choice,
    pred_logits: Tensor,
    pred_deltas: Tensor,
    anchors: Boxes,
    gt_instances: Sequence[Instances],
    box2box_transform: Any,
) -> Samples:
    """Join the chosen anchors of N images with their predictions.

    Args:
        candidates: N * R anchors, image after image.
        choice: which of them learn.
        pred_logits: (N, R, K).
        pred_deltas: (N, R, 4).
        anchors: the R anchors of all levels.
        gt_instances: ground truth of each image, as it was assigned.
        box2box_transform: detectron2's ``Box2BoxTransform``.
    """
    chosen = candidates.take(choice)
    pos_rows = choice.rows(chosen.pos_idxs)
    gt_boxes = Boxes.cat([instances.gt_boxes for instances in gt_instances]).tensor
    positives = Positives(
        boxes=anchors.tensor[pos_rows % len(anchors)],
        gt_boxes=gt_boxes[chosen.gt_idxs[chosen.pos_idxs]],
        pred_deltas=pred_deltas.flatten(0, 1)[pos_rows],
        box2box_transform=box2box_transform,
    )
    return Samples.of(
        chosen,
        pred_logits=pred_logits.flatten(0, 1)[choice.idxs],
        positives=positives,
        importance=choice.importance,
    )
