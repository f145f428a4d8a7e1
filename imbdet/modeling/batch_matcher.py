"""detectron2's matcher for all images of a batch at once.

Shape shorthand: see :mod:`imbdet.structures`; b images that are matched together, of which the one
with most objects has g.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from detectron2.modeling.matcher import Matcher
from detectron2.utils.memory import retry_if_cuda_oom
from torch import Tensor

from imbdet.assigners import Assignment, Priors, Targets
from imbdet.ops.box_matrices import MAX_PAIRS, box_area, by_columns, intersection
from imbdet.ops.image_rows import image_of_rows, images_together
from imbdet.ops.transfer import to_device

# Indices in an assignment for the matcher's labels of background and ignored rows.
_OTHERS = {0: -1, -1: -2}


class BatchMatcher:
    """Assigns as detectron2's ``Matcher`` does image by image, to the last bit.

    The number of operations does not grow with the images as long as the matrices of their pairs
    are small, and the program never waits for the device. Images are matched together while the
    matrix has at most ``MAX_PAIRS`` pairs, 64 MB; a larger one is of a single image, as in
    detectron2.
    """

    def __init__(self, matcher: Matcher):
        """Wrap a matcher whose label for the lowest IoUs is not that of a match."""
        self.matcher = matcher

    @property
    def takes_batches(self) -> bool:
        """Whether proposals of all images may come at once: without low-quality matches."""
        return not self.matcher.allow_low_quality_matches

    @torch.no_grad()
    def __call__(self, priors: Priors, targets: Targets) -> Assignment:
        """See :class:`imbdet.assigners.Assigner`; ``ious`` are those of all rows."""
        counts = targets.counts
        firsts = list(accumulate(counts, initial=0))
        matched = []
        for start, stop in _groups(priors, targets):
            own = _of_images(priors, start, stop)
            if len(own) == 0 or not any(counts[start:stop]):
                matched.append(self._without_pairs(own, stop - start))
            else:
                objects = _Objects.of(targets.boxes, firsts[start:stop], counts[start:stop])
                matched.append(self._match(own, objects))
        gt_idxs, ious = (torch.cat(columns) for columns in zip(*matched, strict=True))
        return Assignment(gt_idxs, ious, max_ious=ious)

    def _without_pairs(self, priors: Priors, num_images: int) -> tuple[Tensor, Tensor]:
        """Objects and IoUs of all rows of images without objects, or of no rows."""
        ious = priors.boxes.new_zeros(sum(priors.counts(num_images)))
        other = _OTHERS[self.matcher.labels[0]]
        return torch.full_like(ious, other, dtype=torch.int64), ious

    def _match(self, priors: Priors, objects: "_Objects") -> tuple[Tensor, Tensor]:
        """Objects and IoUs of all rows of images that are matched together."""
        boxes = by_columns(priors.boxes)
        if priors.num_per_image is None:
            objects = objects.each(lambda values: values[:, :, None])
        else:  # each proposal with the objects of its image
            images = image_of_rows(priors.num_per_image, boxes.device)
            objects, boxes = objects.each(lambda values: values[images]), boxes[:, None]
        match = retry_if_cuda_oom(self._match_pairs)
        found = match(boxes, objects.boxes, objects.is_missing)
        ious, places, is_best = (None if x is None else x.to(boxes.device) for x in found)
        gt_idxs = self._choose(ious, places + objects.starts[:, 0], is_best)
        return gt_idxs.flatten(), ious.flatten()

    def _match_pairs(
        self, boxes: Tensor, objects: Tensor, is_missing: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Highest IoUs of rows, indices of their objects, and whether rows are an object's best.

        Args:
            boxes: (R, 4) boxes, or (R, 1, 4) for proposals.
            objects: (b, g, 1, 4) boxes of objects, or (R, g, 4) for proposals.
            is_missing: (b, g, 1) or (R, g) bool, whether an object is padding; None without any.
        """
        ious = _ious(boxes, objects)
        if is_missing is not None:
            ious.masked_fill_(is_missing, -1)  # below all others
        highest, idxs = ious.max(dim=1)
        if is_missing is not None:
            highest.clamp_(min=0)  # in images without objects
        if not self.matcher.allow_low_quality_matches:
            return highest, idxs, None
        of_objects = ious.amax(dim=2, keepdim=True)
        if is_missing is not None:
            of_objects.clamp_(min=0)
        return highest, idxs, (ious == of_objects).any(dim=1)

    def _choose(self, ious: Tensor, matches: Tensor, is_best: Tensor | None) -> Tensor:
        """Matches, -1 or -2 by the thresholds; rows that are an object's best are matched."""
        *labels, last = self.matcher.labels
        gt_idxs = matches if last == 1 else torch.full_like(matches, _OTHERS[last])
        thresholds = self.matcher.thresholds[1:-1]
        for label, threshold in reversed(list(zip(labels, thresholds, strict=True))):
            own = matches if label == 1 else _OTHERS[label]
            gt_idxs = torch.where(ious < threshold, own, gt_idxs)
        return gt_idxs if is_best is None else torch.where(is_best, matches, gt_idxs)


class _Objects(NamedTuple):
    """The objects of b images.

    Attributes:
        boxes: (b, g, 4) boxes.
        starts: (b, 1) int64, the first object of each image among those of the batch.
        is_missing: (b, g) bool, whether an object is padding; None if all images have g objects.
    """

    boxes: Tensor
    starts: Tensor
    is_missing: Tensor | None

    @classmethod
    def of(cls, gt_boxes: Tensor, starts: Sequence[int], counts: Sequence[int]) -> "_Objects":
        """Objects, (G, 4), of images that have ``counts``, not all 0, from ``starts`` on."""
        firsts = to_device(starts, gt_boxes.device)[:, None]
        places = torch.arange(max(counts), device=gt_boxes.device)
        if min(counts) == max(counts):
            return cls(gt_boxes[firsts + places], firsts, None)
        is_missing = places >= to_device(counts, gt_boxes.device)[:, None]
        idxs = (firsts + places).clamp_(max=len(gt_boxes) - 1)
        return cls(gt_boxes[idxs], firsts, is_missing)

    def each(self, change: Callable[[Tensor], Tensor]) -> "_Objects":
        """The objects with each tensor changed."""
        return _Objects(*(None if values is None else change(values) for values in self))


def _groups(priors: Priors, targets: Targets) -> Iterator[tuple[int, int]]:
    """Start and end (exclusive) of the images that are matched together."""
    counts, of_priors = targets.counts, priors.counts(targets.num_images)

    def are_small(start: int, stop: int) -> bool:
        return sum(of_priors[start:stop]) * max(counts[start:stop]) <= MAX_PAIRS

    return images_together(targets.num_images, are_small)


def _of_images(priors: Priors, start: int, stop: int) -> Priors:
    numbers = priors.num_per_image
    if numbers is None or (start, stop) == (0, len(numbers)):
        return priors
    first = sum(numbers[:start])
    own = numbers[start:stop]
    return Priors(priors.boxes[first : first + sum(own)], num_per_image=own)


def _ious(boxes: Tensor, objects: Tensor) -> Tensor:
    """IoUs as ``pairwise_iou`` computes them; leading sizes are broadcast."""
    shared = intersection(boxes, objects)
    union = (box_area(objects) + box_area(boxes)).sub_(shared)
    return torch.where(shared > 0, shared / union, 0)
