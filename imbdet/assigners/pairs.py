"""Pairs of an object and a prior: distances and overlaps of them, and choices among them.

A matrix of pairs is (G, R): a row is an object of the batch, a column a prior of that object's
image; a chunk of it has g objects. For shapes see :mod:`imbdet.structures`.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from imbdet.ops.box_matrices import box_area, by_columns, intersection, max_pairs
from imbdet.ops.boxes import centers
from imbdet.structures import Assignment, Outputs, Priors, Targets

# The least union and hull, which keeps quotients finite where neither box has an area. This is the
# value of MMDetection, whose assigners these equal. Losses of overlap follow fvcore instead
# (``ops/boxes.py``).
EPS = 1e-6
# Number of costs whose minimum stands for all where the lowest of many costs are searched.
BLOCK = 32
# A positive's point is farther than this inside its object, in pixels (published value).
MIN_BORDER_DISTANCE = 0.01


def chunks(priors: Priors, targets: Targets) -> Iterator[slice]:
    """Slices of the objects, so that a matrix of pairs stays small; see :func:`max_pairs`."""
    yield from chunks_between(0, len(targets), priors)


def chunks_between(start: int, stop: int, priors: Priors) -> Iterator[slice]:
    """Slices of the objects from ``start`` to ``stop``; none without priors."""
    step = max(1, max_pairs(priors.boxes.device) // max(len(priors), 1))
    for first in range(start, stop if len(priors) else start, step):
        yield slice(first, min(first + step, stop))


def box_iou(boxes: Tensor, gt_boxes: Tensor) -> Tensor:
    """(...,) IoU of boxes with objects, (..., 4) each, broadcast; in [0, 1]."""
    return _iou_and_union(boxes, box_area(boxes), gt_boxes)[0]


def box_giou(boxes: Tensor, gt_boxes: Tensor) -> Tensor:
    """(...,) generalized IoU of boxes with objects, (..., 4) each, broadcast; in [-1, 1].

    Rezatofighi et al., CVPR 2019, https://arxiv.org/abs/1902.09630
    """
    ious, union = _iou_and_union(boxes, box_area(boxes), gt_boxes)
    top_left = torch.minimum(boxes[..., :2], gt_boxes[..., :2])
    width, height = (torch.maximum(boxes[..., 2:], gt_boxes[..., 2:]) - top_left).unbind(dim=-1)
    hull = (width * height).clamp(min=EPS)
    return ious - (hull - union) / hull


def _iou_and_union(boxes: Tensor, areas: Tensor, gt_boxes: Tensor) -> tuple[Tensor, Tensor]:
    shared = intersection(boxes, gt_boxes)
    union = (areas + box_area(gt_boxes)).sub_(shared).clamp_(min=EPS)
    return shared.div(union), union


def border_distance(points: Tensor, gt_boxes: Tensor) -> Tensor:
    """(...,) distances from points to the nearest side of an object, in pixels; negative outside.

    Args:
        points: (..., 2) points, xy.
        gt_boxes: (..., 4) objects, whose leading sizes and those of the points are broadcast.
    """
    x, y = points.unbind(dim=-1)
    x1, y1, x2, y2 = gt_boxes.unbind(dim=-1)
    horizontal = torch.minimum(x - x1, x2 - x)
    return torch.minimum(horizontal, torch.minimum(y - y1, y2 - y))


def squared_center_distance(points: Tensor, gt_boxes: Tensor) -> Tensor:
    """(G, P) squared distances of points, (P, 2) xy, from the objects' centres, in pixels."""
    x, y = by_columns(points).unbind(dim=1)
    gt_x, gt_y = centers(gt_boxes).unbind(dim=1)
    return (gt_x[:, None] - x).square_().add_((gt_y[:, None] - y).square_())


def center_offset(priors: Priors, gt_boxes: Tensor) -> Tensor:
    """(g, R) larger one of the horizontal and vertical distances of points from centres, pixels."""
    x, y = by_columns(priors.points).unbind(dim=1)
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


class PredictedBoxes:
    """The boxes predicted on each object's image, paired with the objects of a chunk."""

    def __init__(self, priors: Priors, targets: Targets, outputs: Outputs):
        """Store the boxes of a batch."""
        self._boxes = outputs.require_boxes().detach().to(targets.boxes.dtype)
        shape = targets.num_images, len(priors)
        self._corners = self._boxes.t().reshape(4, *shape)
        self._areas = box_area(self._boxes).view(shape)
        self._targets = targets

    def iou(self, chunk: slice) -> Tensor:
        """(g, R) IoU in [0, 1]."""
        images, gt_boxes = self._images(chunk), self._targets.boxes[chunk, None]
        areas = self._areas.index_select(0, images)
        return _iou_and_union(self._corners_of(images), areas, gt_boxes)[0]

    def overlap(self, chunk: slice) -> Tensor:
        """(g, R) bool, whether the IoU is above 0."""
        corners = self._corners_of(self._images(chunk))
        return intersection(corners, self._targets.boxes[chunk, None]) > 0

    def iou_at(self, objects: Tensor, idxs: Tensor) -> Tensor:
        """(n,) IoU of some objects, (n,) int64, with priors of their images, (n,) int64."""
        rows = self._targets.image_idxs.index_select(0, objects) * self._areas.shape[1] + idxs
        boxes = self._boxes.index_select(0, rows)
        return box_iou(boxes, self._targets.boxes.index_select(0, objects))

    def _images(self, chunk: slice) -> Tensor:
        images = self._targets.image_idxs[chunk]
        # Boxes of a single image are broadcast; on a GPU, the comparison would cost more.
        is_one = images.device.type == "cpu" and images[0] == images[-1]
        return images[:1] if is_one else images

    def _corners_of(self, images: Tensor) -> Tensor:
        return self._corners.index_select(1, images).movedim(0, -1)


def iou_of_assigned(outputs: Outputs, targets: Targets, gt_idxs: Tensor) -> Tensor:
    """(M,) IoU of each predicted box with the object, (M,) int64, of its row; 0 without one."""
    rows = (gt_idxs >= 0).nonzero().squeeze(1)
    ious = targets.boxes.new_zeros(len(gt_idxs))
    boxes = outputs.require_boxes()[rows].detach().to(ious.dtype)
    ious[rows] = box_iou(boxes, targets.boxes[gt_idxs[rows]])
    return ious


def any_object(priors: Priors, targets: Targets, holds: Callable[[slice], Tensor]) -> Tensor:
    """(M,) bool, rows for which ``holds``, (g, R) bool, is True for any object of their image."""
    rows = targets.num_images, len(priors)
    found = torch.zeros(rows, dtype=torch.int32, device=priors.boxes.device)
    for chunk in chunks(priors, targets):
        found.index_add_(0, targets.image_idxs[chunk], holds(chunk).int())
    return found.flatten() > 0


def choose_lowest(costs: Tensor, number: int | Tensor) -> Tensor:
    """(G, R) bool, the ``number`` lowest costs of each object; ties go to the lowest index.

    Args:
        costs: (G, R) costs, infinity for pairs that must not be chosen.
        number: number of choices of each object, at most R; or (G,) int64, at least 1.
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


def lowest(costs: Tensor, number: int) -> Tensor:
    """(G, number) int64 columns of the lowest of (G, R) costs; ties go to the lowest index.

    Args:
        costs: (G, R) costs; which infinite ones are among the lowest is left open.
        number: number of columns of each object, at most R.
    """
    if number == costs.shape[1]:
        return torch.arange(number, device=costs.device).expand(len(costs), -1)
    values, idxs = _lowest(costs, number + 1)
    is_tied = (values[:, -2] == values[:, -1]) & values[:, -1].isfinite()
    if is_tied.any():
        chosen = choose_lowest(costs[is_tied], number)
        idxs[is_tied, :-1] = chosen.nonzero()[:, 1].view(-1, number)
    return idxs[:, :-1]


def _lowest(costs: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Values and columns of the lowest costs, ascending; which of equal costs is left open."""
    num_blocks = costs.shape[1] // BLOCK
    if num_blocks <= 2 * number:
        values, idxs = costs.topk(number, dim=1, largest=False)
        return values, idxs
    # The lowest of all are in the blocks with the lowest minima, and in the columns after them.
    end = num_blocks * BLOCK
    minima = costs[:, :end].unflatten(1, (-1, BLOCK)).amin(dim=2)
    blocks = minima.topk(number, dim=1, largest=False).indices
    within = torch.arange(BLOCK, device=costs.device)
    rest = torch.arange(end, costs.shape[1], device=costs.device).expand(len(costs), -1)
    places = torch.cat([(blocks[..., None] * BLOCK + within).flatten(1), rest], dim=1)
    values, idxs = costs.gather(1, places).topk(number, dim=1, largest=False)
    return values, places.gather(1, idxs)


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
        values, images = values.to(self.values.dtype), self._targets.image_idxs[chunk]
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

    def update_at(self, values: Tensor, idxs: Tensor, chunk: slice) -> None:
        """Add (g, C) values at some priors, (g, C) int64; minus infinity is no value."""
        rows = (self._targets.image_idxs[chunk, None] * self._num_priors + idxs).flatten()
        values = values.flatten().to(self.values.dtype)
        highest = self.values.scatter_reduce(0, rows, values, "amax")
        objects = torch.arange(chunk.start, chunk.stop, device=idxs.device)
        objects = objects[:, None].expand_as(idxs).flatten()
        none = torch.iinfo(torch.int64).max
        is_first = (values == highest[rows]) & (values > self.values[rows])
        first = torch.full_like(self.gt_idxs, none)
        first.scatter_reduce_(0, rows, torch.where(is_first, objects, none), "amin")
        self.gt_idxs = torch.where(first < none, first, self.gt_idxs)
        self.values = highest

    def assignment(self) -> Assignment:
        """Make rows with an object positive, with the values as IoUs, and all others background."""
        return Assignment(self.gt_idxs, self.values.masked_fill(self.gt_idxs < 0, 0))
