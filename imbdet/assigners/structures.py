"""Inputs and results of assigners.

Shape shorthand: B images of a batch, R priors of each, M = B R rows (image after image), G objects
of the batch, K classes. Boxes are XYXY in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


class Priors:
    """The places at which a dense head predicts, shared by the images of a batch.

    Attributes:
        boxes: (R, 4) anchors; of points without anchors, squares as wide as their strides.
        points: (R, 2) xy, centres of the anchors.
        strides: (R,) distances between neighbours, in pixels; None if unknown.
        level_sizes: number of priors on each level of the feature pyramid, in the order of rows.
    """

    def __init__(
        self,
        boxes: Tensor | None = None,
        *,
        points: Tensor | None = None,
        strides: Tensor | None = None,
        level_sizes: Sequence[int] | None = None,
    ):
        """Describe anchors by ``boxes``, or points by ``points`` and ``strides``.

        Args:
            boxes: see the attributes.
            points: see the attributes; None takes the centres of ``boxes``.
            strides: see the attributes.
            level_sizes: see the attributes; None is one level.

        Raises:
            ValueError: there are neither boxes nor points with strides, or their numbers differ.
        """
        if boxes is None:
            if points is None or strides is None:
                raise ValueError("priors need boxes, or points and their strides")
            half = strides[:, None] / 2
            boxes = torch.cat([points - half, points + half], dim=1)
        elif points is None:
            points = (boxes[:, :2] + boxes[:, 2:]) / 2
        self.boxes = boxes
        self.points = points
        self.strides = strides
        self.level_sizes = [len(boxes)] if level_sizes is None else list(level_sizes)
        if sum(self.level_sizes) != len(boxes):
            raise ValueError(
                f"levels of {self.level_sizes} priors do not add up to {len(boxes)} priors"
            )
        for name, column in (("points", points), ("strides", strides)):
            if column is not None and len(column) != len(boxes):
                raise ValueError(f"{len(boxes)} priors have {len(column)} {name}")

    def __len__(self) -> int:
        return len(self.boxes)

    def require_strides(self) -> Tensor:
        """``strides``, for an assigner that needs them.

        Raises:
            ValueError: they are unknown.
        """
        if self.strides is None:
            raise ValueError("this assigner measures in strides, which the priors lack")
        return self.strides


@dataclass(frozen=True, eq=False)
class Targets:
    """The objects of an image or of a batch, image after image.

    Attributes:
        boxes: (G, 4) ground truth.
        classes: (G,) int64 in [0, K).
        num_per_image: number of objects of each image; None is one image.
    """

    boxes: Tensor
    classes: Tensor
    num_per_image: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def num_images(self) -> int:
        """B."""
        return 1 if self.num_per_image is None else len(self.num_per_image)

    @cached_property
    def image_idxs(self) -> Tensor:
        """(G,) int64, the image of each object."""
        counts = torch.tensor(self.num_per_image or [len(self)], device=self.boxes.device)
        images = torch.arange(len(counts), device=counts.device)
        return images.repeat_interleave(counts, output_size=len(self))


@dataclass(frozen=True, eq=False)
class Outputs:
    """Predictions of the head for every prior, used as constants.

    Attributes:
        logits: (M, K) sigmoid logits of the classes.
        boxes: (M, 4) predicted boxes, decoded.
    """

    logits: Tensor
    boxes: Tensor


@dataclass(frozen=True, eq=False)
class Assignment:
    """The object of each prior, in every image of the batch.

    Attributes:
        gt_idxs: (M,) int64, index in [0, G) of a positive's object; -1 background, -2 ignored.
        ious: (M,) float in [0, 1], overlap of a positive with its object as the assigner measures
            it; 0 for other rows, unless the assigner says otherwise.
        quality: (M,) float in [0, 1], quality of a positive, 0 for other rows; None if the assigner
            does not grade positives.
    """

    gt_idxs: Tensor
    ious: Tensor
    quality: Tensor | None = None
