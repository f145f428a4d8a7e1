"""The objects of a batch.

Shape shorthand: see :mod:`imbdet.structures`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from imbdet.ops.image_rows import image_of_rows


@dataclass(frozen=True, eq=False)
class Targets:
    """The objects of an image or of a batch, image after image.

    Attributes:
        boxes: (G, 4) ground truth.
        classes: (G,) int64 in [0, K).
        num_per_image: number of objects of each image; None is one image.
        image_sizes: (height, width) of each image in pixels; None if they are not needed.
    """

    boxes: Tensor
    classes: Tensor
    num_per_image: Sequence[int] | None = None
    image_sizes: Sequence[tuple[int, int]] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def num_images(self) -> int:
        """B."""
        return 1 if self.num_per_image is None else len(self.num_per_image)

    @cached_property
    def image_idxs(self) -> Tensor:
        """(G,) int64, the image of each object."""
        return image_of_rows(self.num_per_image or [len(self)], self.boxes.device)

    def by_image(self) -> Iterator["Targets"]:
        """The objects of each image, as if it were a batch."""
        counts = [len(self)] if self.num_per_image is None else list(self.num_per_image)
        parts = zip(self.boxes.split(counts), self.classes.split(counts), strict=True)
        for i, (boxes, classes) in enumerate(parts):
            sizes = None if self.image_sizes is None else self.image_sizes[i : i + 1]
            yield Targets(boxes, classes, image_sizes=sizes)

    def require_image_sizes(self) -> Sequence[tuple[int, int]]:
        """``image_sizes``, for an assigner that needs them.

        Raises:
            ValueError: they are unknown.
        """
        if self.image_sizes is None:
            raise ValueError("this assigner looks at sizes of images, which the targets lack")
        return self.image_sizes
