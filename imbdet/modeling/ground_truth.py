"""Ground truth of training images: their objects, ignored regions and weights."""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.structures import Boxes, Instances

from imbdet.structures import Regions, Targets


class GroundTruth(Instances):
    """The objects of a training image, with its ignored regions and its weight.

    detectron2's own parts read it as any ``Instances`` of objects. Those of this package also read
    the field "gt_weights", (G,) factors >= 0 of the losses of each object, and the attributes.

    Attributes:
        regions: (I, 4) boxes in which it is not known what is an object.
        min_overlap: see :class:`imbdet.structures.Regions`.
        image_weight: factor >= 0 of the losses of all samples of the image, background included;
            None is 1, in a data set without weights.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        *,
        regions: Boxes | None = None,
        min_overlap: float = 0.5,
        image_weight: float | None = None,
        **fields: Any,
    ):
        """Set the attributes and the fields of the objects."""
        super().__init__(image_size, **fields)
        # Instances makes a field of an attribute whose name has no underscore in front.
        self._regions = Boxes(torch.empty(0, 4)) if regions is None else regions
        self._min_overlap = min_overlap
        self._image_weight = image_weight

    @property
    def regions(self) -> Boxes:
        return self._regions

    @property
    def min_overlap(self) -> float:
        return self._min_overlap

    @property
    def image_weight(self) -> float | None:
        return self._image_weight

    def to(self, *args: Any, **kwargs: Any) -> "GroundTruth":
        """The ground truth on another device."""
        return GroundTruth(
            self.image_size,
            regions=self.regions.to(*args, **kwargs),
            min_overlap=self.min_overlap,
            image_weight=self.image_weight,
            **super().to(*args, **kwargs).get_fields(),
        )


def targets_of(gt_instances: Sequence[Instances], *, has_classes: bool = True) -> Targets:
    """The objects of a batch.

    Args:
        gt_instances: ground truth of each image, with "gt_boxes" and "gt_classes"; a
            :class:`GroundTruth` also has regions and weights.
        has_classes: whether classes are read; otherwise all objects have the class 0.
    """
    boxes = Boxes.cat([instances.gt_boxes for instances in gt_instances]).tensor
    classes = boxes.new_zeros(len(boxes), dtype=torch.int64)
    if has_classes:
        classes = torch.cat([instances.gt_classes for instances in gt_instances])
    weights = image_weights = None
    if all(instances.has("gt_weights") for instances in gt_instances):
        weights = torch.cat([instances.gt_weights for instances in gt_instances])
    of_images = [getattr(instances, "image_weight", None) for instances in gt_instances]
    if None not in of_images:
        image_weights = boxes.new_tensor(of_images)
    return Targets(
        boxes,
        classes,
        num_per_image=[len(instances) for instances in gt_instances],
        image_sizes=[instances.image_size for instances in gt_instances],
        weights=weights,
        image_weights=image_weights,
        regions=_regions_of(gt_instances),
    )


def _regions_of(gt_instances: Sequence[Instances]) -> Regions | None:
    """The ignored regions of a batch; None if there is none."""
    known = [instances for instances in gt_instances if isinstance(instances, GroundTruth)]
    boxes = [
        instances.regions if isinstance(instances, GroundTruth) else instances.gt_boxes[:0]
        for instances in gt_instances
    ]
    numbers = list(map(len, boxes))
    if sum(numbers) == 0:
        return None
    return Regions(Boxes.cat(boxes).tensor, numbers, min(own.min_overlap for own in known))
