"""The places at which a head predicts.

Shape shorthand: see :mod:`imbdet.structures`.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from imbdet.ops.boxes import centers
from imbdet.ops.precision import at_least_float32
from imbdet.ops.transfer import to_device


class Levels(NamedTuple):
    """Levels of the feature pyramid.

    Attributes:
        idxs: (M,) int64 in [0, number), the level of each row.
        number: number of levels, with or without rows.
    """

    idxs: Tensor
    number: int

    def rows(self) -> list[Tensor]:
        """int64 rows of each level, ascending."""
        return [(self.idxs == level).nonzero().squeeze(1) for level in range(self.number)]


class Priors:
    """The boxes or points at which a head predicts; a dense head has the same for every image.

    Attributes:
        boxes: (R, 4) anchors or proposals; of points without anchors, squares as wide as their
            strides.
        points: (R, 2) xy, centres of the boxes.
        strides: (R,) distances between neighbours, in pixels; None if unknown.
        level_sizes: number of priors on each level of the feature pyramid, in the order of rows;
            None if they belong to no level.
        num_per_image: number of proposals of each image, R in all; None if the images of a batch
            share the R priors, so that a batch has B R rows.
        num_per_point: number of priors that share a point, such as anchors of several shapes; they
            are neighbours in the order of rows.
    """

    def __init__(
        self,
        boxes: Tensor | None = None,
        *,
        points: Tensor | None = None,
        strides: Tensor | None = None,
        level_sizes: Sequence[int] | None = None,
        num_per_image: Sequence[int] | None = None,
        num_per_point: int = 1,
    ):
        """Describe anchors or proposals by ``boxes``, or points by ``points`` and ``strides``.

        Args:
            boxes: see the attributes.
            points: see the attributes; None takes the centres of ``boxes``.
            strides: see the attributes.
            level_sizes: see the attributes.
            num_per_image: see the attributes.
            num_per_point: see the attributes.

        Raises:
            ValueError: there are neither boxes nor points with strides, or their numbers or shapes
                do not fit.
        """
        boxes, points, strides = (
            None if column is None else at_least_float32(column)
            for column in (boxes, points, strides)
        )
        if boxes is None:
            if points is None or strides is None:
                raise ValueError("priors need boxes, or points and their strides")
            half = strides[:, None] / 2
            boxes = torch.cat([points - half, points + half], dim=1)
        self.boxes = boxes
        self.strides = strides
        self.level_sizes = None if level_sizes is None else list(level_sizes)
        self.num_per_image = None if num_per_image is None else list(num_per_image)
        self.num_per_point = num_per_point
        for name, sizes in (("levels", level_sizes), ("images", num_per_image)):
            if sizes is not None and sum(sizes) != len(boxes):
                raise ValueError(
                    f"{name} of {list(sizes)} priors do not add up to {len(boxes)} priors"
                )
        for size in self.sizes_of_levels():
            if size % num_per_point:
                raise ValueError(f"{size} priors of a level do not share points by {num_per_point}")
        if points is not None:
            self.points = points
        for name, column in (("points", points), ("strides", strides)):
            if column is not None and len(column) != len(boxes):
                raise ValueError(f"{len(boxes)} priors have {len(column)} {name}")
        for name, column, width in (("boxes", boxes, 4), ("points", points, 2)):
            if column is not None and column.shape[1:] != (width,):
                raise ValueError(f"{name} have the shape {tuple(column.shape)}, not (R, {width})")

    def __len__(self) -> int:
        return len(self.boxes)

    @cached_property
    def points(self) -> Tensor:
        """See the attributes."""
        return centers(self.boxes)

    def require_strides(self) -> Tensor:
        """``strides``, for an assigner that needs them.

        Raises:
            ValueError: the strides are unknown.
        """
        if self.strides is None:
            raise ValueError("this assigner measures in strides, which the priors lack")
        return self.strides

    def sizes_of_levels(self) -> list[int]:
        """``level_sizes``; priors that belong to no level count as one."""
        return [len(self)] if self.level_sizes is None else self.level_sizes

    def counts(self, num_images: int) -> list[int]:
        """Number of rows of each image."""
        return [len(self)] * num_images if self.num_per_image is None else self.num_per_image

    def boxes_at(self, rows: Tensor) -> Tensor:
        """(S, 4) boxes of some rows, (S,) int64, of the batch."""
        return self.boxes[rows if self.num_per_image is not None else rows % max(len(self), 1)]

    def levels_at(self, rows: Tensor) -> Levels | None:
        """Levels of some rows, (S,) int64, of the batch; None if priors belong to no level."""
        if self.level_sizes is None:
            return None
        ends = to_device(list(accumulate(self.level_sizes)), rows.device)
        idxs = torch.bucketize(rows % max(len(self), 1), ends, right=True)
        return Levels(idxs, len(self.level_sizes))

    def by_image(self, num_images: int) -> Iterator["Priors"]:
        """The priors of each image, as if it were a batch."""
        if self.num_per_image is None:
            yield from [self] * num_images
        else:
            for boxes in self.boxes.split(self.num_per_image):
                yield Priors(boxes)
