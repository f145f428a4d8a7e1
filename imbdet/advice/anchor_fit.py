"""How well the anchors or points of a detector fit the objects, without its network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from imbdet.advice.annotated_images import AnnotatedImages
from imbdet.assigners import Assigner
from imbdet.assigners.assigner import assign
from imbdet.assigners.pairs import box_iou, chunks
from imbdet.ops.box_matrices import box_area, by_columns
from imbdet.structures import Priors, Targets, needs_of

# Bounds of the images and objects that are examined; one image is examined in any case.
NUM_IMAGES, NUM_OBJECTS = 100, 1000
_SEED = 0


@dataclass(frozen=True, eq=False)
class AnchorFit:
    """How the priors of some images fit the objects, and what an assigner makes of them.

    Attributes:
        num_images: number of images examined, all of them with objects.
        best_ious: (G,) highest IoU of each object with a prior.
        is_smaller: (G,) bool, whether the object has less area than the smallest prior.
        num_positives: (G,) int64 number of positives of each object; None where the assigner needs
            predictions.
        num_negatives: number of background priors of all images.
    """

    num_images: int
    best_ious: np.ndarray
    is_smaller: np.ndarray
    num_positives: np.ndarray | None
    num_negatives: int

    def share_below(self, iou: float) -> float:
        """Share of the objects whose best IoU is below ``iou``."""
        return float((self.best_ious < iou).mean())

    def share_too_small(self, iou: float) -> float:
        """Share of the objects that are smaller than all priors, with a best IoU below ``iou``."""
        return float(((self.best_ious < iou) & self.is_smaller).mean())

    @property
    def negatives_per_positive(self) -> float | None:
        """Background priors for each positive one; None where the positives are not known."""
        if self.num_positives is None:
            return None
        return self.num_negatives / max(int(self.num_positives.sum()), 1)


def anchor_fit(
    objects: AnnotatedImages,
    scales: np.ndarray,
    priors_of: Callable[[int, int], Priors],
    assigner: Assigner,
) -> AnchorFit | None:
    """Assign the objects of some images, which are drawn at random with a fixed seed.

    Args:
        objects: objects of the data set, without regions.
        scales: (I, 2) factors of width and height by which each image is resized.
        priors_of: function from the width and height of an image to its priors.
        assigner: assigner of the detector.

    Returns:
        The fit; None without objects.
    """
    best_ious, is_smaller, num_positives, num_negatives = [], [], [], 0
    looks = "outputs" in needs_of(assigner)
    images = _draw(objects.num_per_image())
    for image, targets in _resized(objects, scales, images):
        width, height = (objects.sizes[image] * scales[image]).round().astype(int).tolist()
        priors = priors_of(width, height)
        best_ious.append(_best_ious(priors, targets))
        is_smaller.append(box_area(targets.boxes) < box_area(priors.boxes).min())
        if not looks:
            found = assign(assigner, priors, targets, None, len(objects.classes))
            owners = found.gt_idxs[found.pos_idxs]
            num_positives.append(owners.bincount(minlength=len(targets)))
            num_negatives += len(found.neg_idxs)
    if not best_ious:
        return None
    return AnchorFit(
        len(images),
        torch.cat(best_ious).numpy(),
        torch.cat(is_smaller).numpy(),
        None if looks else torch.cat(num_positives).numpy(),
        num_negatives,
    )


def _draw(num_per_image: np.ndarray) -> np.ndarray:
    """Indices of some of the images with objects."""
    order = np.random.default_rng(_SEED).permutation(np.flatnonzero(num_per_image))[:NUM_IMAGES]
    number = int((num_per_image[order].cumsum() <= NUM_OBJECTS).sum())
    return order[: max(number, 1)]


def _resized(
    objects: AnnotatedImages, scales: np.ndarray, images: np.ndarray
) -> Iterator[tuple[int, Targets]]:
    for image in images.tolist():
        rows = np.flatnonzero(objects.image_idxs == image)
        boxes = torch.from_numpy(objects.boxes[rows] * np.tile(scales[image], 2)).float()
        width, height = (objects.sizes[image] * scales[image]).tolist()
        labels = torch.from_numpy(objects.labels[rows])
        yield (
            image,
            Targets(boxes, labels, [len(rows)], image_sizes=[(round(height), round(width))]),
        )


def _best_ious(priors: Priors, targets: Targets) -> Tensor:
    boxes = by_columns(priors.boxes)
    parts = [box_iou(boxes, targets.boxes[c, None]).amax(dim=1) for c in chunks(priors, targets)]
    return torch.cat(parts)
