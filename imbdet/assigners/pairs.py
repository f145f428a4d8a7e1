"""Pairs of an object and a prior: measures of them, and ways to choose among them.

A matrix of pairs is (G, R): a row is an object of the batch, a column a prior of that object's
image; a chunk of it has g objects. For shapes see :mod:`imbdet.structures`.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from imbdet.ops.boxes import centers
from imbdet.structures import Assignment, Outputs, Priors, Targets

# Keeps quotients finite where neither box has an area.
EPS = 1e-6
# Largest number of pairs in a matrix: 64 MB in float32.
MAX_PAIRS = 1 << 24
# A positive's point is farther than this inside its object, in pixels (published value).
MIN_BORDER_DISTANCE = 0.01


def chunks(priors: Priors, targets: Targets) -> Iterator[slice]:
    """Slices of the objects, so that a matrix of pairs stays within ``MAX_PAIRS`` entries."""
    step = max(1, MAX_PAIRS // max(len(priors), 1))
    for start in range(0, len(targets), step):
        yield slice(start, min(start + step, len(targets)))


def box_iou(boxes: Tensor, gt_boxes: Tensor) -> Tensor:
    """IoU of boxes with objects, whose leading sizes are broadcast, in [0, 1]."""
    x1, y1, x2, y2 = boxes.unbind(dim=-1)
    gt_x1, gt_y1, gt_x2, gt_y2 = gt_boxes.unbind(dim=-1)
    width = (torch.minimum(x2, gt_x2) - torch.maximum(x1, gt_x1)).clamp(min=0)
    height = (torch.minimum(y2, gt_y2) - torch.maximum(y1, gt_y1)).clamp(min=0)
    intersection = width * height
    union = (x2 - x1) * (y2 - y1) + (gt_x2 - gt_x1) * (gt_y2 - gt_y1) - intersection
    return intersection / union.clamp(min=EPS)


def border_distance(points: Tensor, gt_boxes: Tensor) -> Tensor:
    """Distance from points to the nearest side of an object, in pixels; negative outside.

    The leading sizes of both are broadcast.
    """
    x, y = points.unbind(dim=-1)
    x1, y1, x2, y2 = gt_boxes.unbind(dim=-1)
    horizontal = torch.minimum(x - x1, x2 - x)
    return torch.minimum(horizontal, torch.minimum(y - y1, y2 - y))


def squared_center_distance(priors: Priors, gt_boxes: Tensor) -> Tensor:
    """(G, R) squared distances of the priors' points from the objects' centres, in pixels."""
    x, y = priors.points.unbind(dim=1)
    gt_x, gt_y = centers(gt_boxes).unbind(dim=1)
    return (gt_x[:, None] - x).square() + (gt_y[:, None] - y).square()


def center_offset(priors: Priors, gt_boxes: Tensor) -> Tensor:
    """(g, R) the larger of the horizontal and vertical distances of points from centres."""
    x, y = priors.points.unbind(dim=1)
    gt_x, gt_y = centers(gt_boxes).unbind(dim=1)
    return torch.maximum((gt_x[:, None] - x).abs(), (gt_y[:, None] - y).abs())


def of_image(values: Tensor, priors: Priors, image_idxs: Tensor) -> Tensor:
    """(g, R, ...) rows of the images of g objects, from (M, ...)."""
    by_image: Tensor = values.unflatten(0, (-1, len(priors)))
    return by_image[image_idxs]


def logits_of_class(logits: Tensor, priors: Priors, targets: Targets, chunk: slice) -> Tensor:
    """(g, R) logits of each object's class on its image, from (M, K)."""
    by_class: Tensor = logits.unflatten(0, (-1, len(priors))).transpose(1, 2)
    return by_class[targets.image_idxs[chunk], targets.classes[chunk]]


def scores_of_class(outputs: Outputs, priors: Priors, targets: Targets, chunk: slice) -> Tensor:
    """(g, R) sigmoid scores of each object's class on its image, in the precision of the boxes."""
    logits = logits_of_class(outputs.logits, priors, targets, chunk)
    return logits.to(priors.boxes.dtype).sigmoid()


def predicted_iou(outputs: Outputs, priors: Priors, targets: Targets, chunk: slice) -> Tensor:
    """(g, R) IoU of the boxes predicted on each object's image with the object."""
    boxes = of_image(outputs.require_boxes(), priors, targets.image_idxs[chunk])
    return box_iou(boxes, targets.boxes[chunk, None])


def any_object(priors: Priors, targets: Targets, holds: Callable[[slice], Tensor]) -> Tensor:
    """(M,) bool, rows for which (g, R) bool ``holds`` with any object of their image."""
    rows = targets.num_images, len(priors)
    found = torch.zeros(rows, dtype=torch.int32, device=priors.boxes.device)
    for chunk in chunks(priors, targets):
        found.index_add_(0, targets.image_idxs[chunk], holds(chunk).int())
    return found.flatten() > 0


def choose_lowest(costs: Tensor, number: int | Tensor) -> Tensor:
    """(G, R) bool, the ``number`` lowest costs of each object; ties go to the lowest index.

    Args:
        costs: (G, R), infinity for pairs that must not be chosen.
        number: how many of each object, at most R; or (G,) int64, at least 1.
    """
    if costs.shape[1] == 0:
        return torch.zeros_like(costs, dtype=torch.bool)
    if isinstance(number, int):
        last = costs.topk(number, dim=1, largest=False).values[:, -1:]
    else:
        lowest = costs.topk(int(number.max()), dim=1, largest=False).values
        number = number[:, None]
        last = lowest.gather(1, number - 1)
    is_below = costs < last
    is_last = costs == last
    room = number - is_below.sum(dim=1, keepdim=True)
    is_chosen = is_below | (is_last & (is_last.cumsum(dim=1, dtype=torch.int32) <= room))
    return is_chosen & costs.isfinite()


class BestObject:
    """The object with the highest value for each row, found chunk by chunk of the objects.

    Equal values go to the object that comes first.

    Attributes:
        values: (M,) highest value, minus infinity where there is none.
        gt_idxs: (M,) int64, its object; -1 where there is none.
    """

    def __init__(self, priors: Priors, targets: Targets, dtype: torch.dtype | None = None):
        """Start without objects.

        Args:
            priors: R priors.
            targets: the objects, whose values :meth:`update` takes.
            dtype: type of the values; None is that of the boxes.
        """
        self._targets = targets
        self._num_priors = len(priors)
        num_rows = targets.num_images * len(priors)
        self.values = priors.boxes.new_full((num_rows,), -torch.inf, dtype=dtype)
        self.gt_idxs = torch.full_like(self.values, -1, dtype=torch.int64)

    def update(self, values: Tensor, chunk: slice) -> None:
        """Add the (g, R) values of the objects in ``chunk``; the slices must come in order."""
        images = self._targets.image_idxs[chunk]
        by_image = self.values.unflatten(0, (-1, self._num_priors))
        rows = images[:, None].expand_as(values)
        highest = torch.full_like(by_image, -torch.inf).scatter_reduce(0, rows, values, "amax")
        objects = torch.arange(chunk.start, chunk.start + len(values), device=values.device)
        none = torch.iinfo(torch.int64).max
        own = torch.where(values == highest[images], objects[:, None], none)
        first = torch.full_like(by_image, none, dtype=torch.int64)
        first = first.scatter_reduce(0, rows, own, "amin")
        is_higher = (highest > by_image).flatten()
        self.gt_idxs = torch.where(is_higher, first.flatten(), self.gt_idxs)
        self.values = torch.where(is_higher, highest.flatten(), self.values)

    def assignment(self) -> Assignment:
        """Rows with an object are positive, with the values as IoUs; all others are background."""
        return Assignment(self.gt_idxs, self.values.masked_fill(self.gt_idxs < 0, 0))
