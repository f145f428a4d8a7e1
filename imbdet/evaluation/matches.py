"""Which detections of a run are right, class by class, as COCO matches them.

Shape shorthand: K classes, A = 4 areas of objects (all, small, medium, large), T = 10 IoU
thresholds (0.5, 0.55, ..., 0.95), D detections of a class, I images.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from imbdet.evaluation.comparison import Frame
from imbdet.evaluation.federated import Pair
from imbdet.evaluation.matching import (
    Detections,
    Objects,
    boxes_of,
    match_boxes,
    rank_detections,
)


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """The detections of one class that count, the highest score first.

    Detections of equal score stand in the order of the images' ids.

    Attributes:
        scores: (D,) scores, descending.
        image_idxs: (D,) int64, places in :attr:`Matches.images`.
        detection_idxs: (D,) int64, places in :attr:`Matches.detections`.
        object_idxs: (D,) int64, the object matched at IoU 0.5, a place in :attr:`Matches.objects`;
            -1 for none.
        ious: (D,) highest IoU with an object of the class, crowds excluded; 0 without any.
        match_ious: (D,) IoU with the object matched at IoU 0.5; NaN without any.
        is_correct: (A, T, D) bool, whether a detection is matched to an object that counts.
        is_counted: (A, T, D) bool, whether a detection is right or wrong; the others are neither.
        num_objects: (A, I) int64, numbers of objects that count.
    """

    scores: np.ndarray
    image_idxs: np.ndarray
    detection_idxs: np.ndarray
    object_idxs: np.ndarray
    ious: np.ndarray
    match_ious: np.ndarray
    is_correct: np.ndarray
    is_counted: np.ndarray
    num_objects: np.ndarray


@dataclass(frozen=True, eq=False)
class Matches:
    """A run's detections and the objects that they are matched to.

    Attributes:
        images: I images of the annotation file, in the order of their ids.
        objects: annotations. Like the detections they have ids that count from 1: "image_id" is the
            place of the image plus 1.
        detections: detections in COCO's result format.
        by_class: matches of the K classes by name.
        max_detections: number of detections of a class in an image that count, those of the highest
            scores.
    """

    images: Sequence[Mapping]
    objects: Sequence[Mapping]
    detections: Sequence[Mapping]
    by_class: Mapping[str, ClassMatches]
    max_detections: int

    @property
    def num_objects(self) -> np.ndarray:
        """(K,) int64, numbers of objects of each class, crowds excluded."""
        return np.array([found.num_objects[0].sum() for found in self.by_class.values()])

    @property
    def images_of_class(self) -> np.ndarray:
        """(K,) int64, numbers of images with objects of each class, crowds excluded."""
        return np.array([np.count_nonzero(c.num_objects[0]) for c in self.by_class.values()])

    @property
    def images_of_area(self) -> np.ndarray:
        """(A,) int64, numbers of images with objects of each area, crowds excluded."""
        return np.count_nonzero(sum(c.num_objects for c in self.by_class.values()), axis=1)


def match(
    ground_truth: Mapping,
    results: Iterable[Mapping],
    max_detections: int = 100,
    not_exhaustive: Set[Pair] = frozenset(),
) -> Matches:
    """Match detected boxes with objects as COCO does.

    Args:
        ground_truth: the content of a COCO-format annotation file.
        results: records of COCO's result format.
        max_detections: number of detections of a class in an image that count; COCO's is 100.
        not_exhaustive: ids of images and categories whose unmatched detections are not wrong.
    """
    frame = Frame.of(ground_truth)
    objects = frame.place_objects(ground_truth["annotations"])
    detections = frame.place(results)
    targets = Objects(
        groups=_groups(frame, objects),
        boxes=boxes_of(objects),
        areas=np.array([note["area"] for note in objects], dtype=float),
        is_crowd=np.array([note["iscrowd"] for note in objects], dtype=bool),
    )
    groups = _groups(frame, detections)
    scores = np.array([record["score"] for record in detections], dtype=float)
    ranked = rank_detections(groups, scores, max_detections)
    groups = groups[ranked]
    places = [{"image_id": pair[0], "category_id": pair[1]} for pair in not_exhaustive]
    is_exhaustive = ~np.isin(groups, _groups(frame, frame.place(places)))
    found = match_boxes(targets, Detections(groups, boxes_of(detections)[ranked], is_exhaustive))
    num_objects = _count_objects(frame, targets)
    ends = np.searchsorted(groups, np.arange(len(frame.categories) + 1) * len(frame.images))
    by_class = {}
    for category in frame.categories.values():
        start, end = ends[category["id"] - 1 : category["id"] + 1]
        # Detections come by image, then by score; those of equal score stay in this order.
        order = start + np.argsort(-scores[ranked[start:end]], kind="stable")
        by_class[category["name"]] = ClassMatches(
            scores=scores[ranked[order]],
            image_idxs=groups[order] % len(frame.images),
            detection_idxs=ranked[order],
            object_idxs=found.object_idxs[order],
            ious=found.best_ious[order],
            match_ious=found.match_ious[order],
            is_correct=found.is_correct[..., order],
            is_counted=found.is_counted[..., order],
            num_objects=num_objects[category["id"] - 1],
        )
    return Matches(list(frame.images.values()), objects, detections, by_class, max_detections)


def _groups(frame: Frame, records: Sequence[Mapping]) -> np.ndarray:
    """(N,) int64, a number for each class and image; images of a class are consecutive."""
    places = [(record["category_id"] - 1, record["image_id"] - 1) for record in records]
    classes, images = np.array(places, dtype=np.int64).reshape(-1, 2).T
    return classes * len(frame.images) + images


def _count_objects(frame: Frame, objects: Objects) -> np.ndarray:
    """(K, A, I) int64, numbers of objects that count."""
    shape = len(frame.categories), len(frame.images)
    counts = [
        np.bincount(objects.groups[of_area], minlength=shape[0] * shape[1]).reshape(shape)
        for of_area in objects.counts
    ]
    return np.stack(counts, axis=1)
