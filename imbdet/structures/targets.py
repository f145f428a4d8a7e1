"""The objects of a batch.

Shape shorthand: see :mod:`imbdet.structures`; I ignored regions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from imbdet.ops.image_rows import image_of_rows
from imbdet.ops.precision import at_least_float32


@dataclass(frozen=True, eq=False)
class Regions:
    """Parts of images where it is not known what is an object, such as crowds.

    Attributes:
        boxes: (I, 4) boxes of the batch, image after image.
        num_per_image: number of regions of each image.
        min_overlap: share of a prior's area, in (0, 1], that must lie in one region for the prior
            to be ignored instead of background.
    """

    boxes: Tensor
    num_per_image: Sequence[int]
    min_overlap: float = 0.5

    def __post_init__(self) -> None:
        """Widen the boxes."""
        object.__setattr__(self, "boxes", at_least_float32(self.boxes))

    def by_image(self) -> Iterator["Regions"]:
        """The regions of each image."""
        for boxes in self.boxes.split(list(self.num_per_image)):
            yield Regions(boxes, [len(boxes)], self.min_overlap)


@dataclass(frozen=True, eq=False)
class Targets:
    """The objects of an image or of a batch, image after image.

    Attributes:
        boxes: (G, 4) ground truth.
        classes: (G,) int64 in [0, K).
        num_per_image: number of objects of each image; None is one image.
        image_sizes: (height, width) of each image in pixels; None if they are not needed.
        weights: (G,) factors >= 0 of the losses of each object's positives; at 0 they are ignored.
            None is 1 for all.
        image_weights: (B,) factors >= 0 of the losses of all samples of an image; at 0 they are
            ignored. None is 1 for all.
        regions: ignored regions, or None.
    """

    boxes: Tensor
    classes: Tensor
    num_per_image: Sequence[int] | None = None
    image_sizes: Sequence[tuple[int, int]] | None = None
    weights: Tensor | None = None
    image_weights: Tensor | None = None
    regions: Regions | None = None

    def __post_init__(self) -> None:
        """Widen the boxes."""
        object.__setattr__(self, "boxes", at_least_float32(self.boxes))

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def counts(self) -> list[int]:
        """Number of objects of each image."""
        return [len(self)] if self.num_per_image is None else list(self.num_per_image)

    @property
    def num_images(self) -> int:
        """B, the number of images."""
        return len(self.counts)

    @cached_property
    def image_idxs(self) -> Tensor:
        """(G,) int64, the image of each object."""
        return image_of_rows(self.counts, self.boxes.device)

    def by_image(self) -> Iterator["Targets"]:
        """The objects of each image, as if it were a batch."""
        regions = None if self.regions is None else list(self.regions.by_image())
        start = 0
        for i, count in enumerate(self.counts):
            own, image = slice(start, start + count), slice(i, i + 1)
            start = own.stop
            yield Targets(
                self.boxes[own],
                self.classes[own],
                image_sizes=None if self.image_sizes is None else self.image_sizes[image],
                weights=None if self.weights is None else self.weights[own],
                image_weights=None if self.image_weights is None else self.image_weights[image],
                regions=None if regions is None else regions[i],
            )

    def require_image_sizes(self) -> Sequence[tuple[int, int]]:
        """``image_sizes``, for an assigner that needs them.

        Raises:
            ValueError: the sizes are unknown.
        """
        if self.image_sizes is None:
            raise ValueError("this assigner looks at sizes of images, which the targets lack")
        return self.image_sizes
