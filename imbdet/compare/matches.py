"""Which detections are right, image by image, as COCO matches them.

Shape shorthand: K classes, A = 4 areas of objects (all, small, medium, large), T = 10 IoU
thresholds (0.5, 0.55, ..., 0.95), D detections of a class, I images.
"""

import contextlib
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from imbdet.engine.progress import with_progress
from imbdet.evaluation.comparison import Frame, box_area

NUM_AREAS, NUM_THRESHOLDS = 4, 10


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """The detections of one class, at most 100 of an image, the highest score first.

    Detections of equal score stand in the order of the images' ids.

    Attributes:
        scores: (D,).
        image_idxs: (D,) int64, places in :attr:`Matches.images`.
        detection_idxs: (D,) int64, places in :attr:`Matches.detections`.
        object_idxs: (D,) int64, the object matched at IoU 0.5, a place in :attr:`Matches.objects`;
            -1 for none.
        ious: (D,) highest IoU with an object of the class, crowds excluded; 0 without any.
        match_ious: (D,) IoU with the object matched at IoU 0.5; NaN without any.
        is_correct: (A, T, D) bool, whether it is matched to an object that counts.
        is_counted: (A, T, D) bool; the others are neither right nor wrong.
        num_objects: (A, I) int64, objects that count.
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
        images: the annotation file's, by id; I of them.
        objects: the annotations. Like the detections they have ids that count from 1:
            "image_id" is the place of the image plus 1.
        detections: in COCO's result format.
        by_class: K classes' matches by their names.
    """

    images: Sequence[Mapping]
    objects: Sequence[Mapping]
    detections: Sequence[Mapping]
    by_class: Mapping[str, ClassMatches]

    @property
    def num_objects(self) -> np.ndarray:
        """(K,) int64, objects of each class, crowds excluded."""
        return np.array([found.num_objects[0].sum() for found in self.by_class.values()])

    @property
    def images_of_class(self) -> np.ndarray:
        """(K,) int64, images with objects of each class, crowds excluded."""
        return np.array([np.count_nonzero(c.num_objects[0]) for c in self.by_class.values()])

    @property
    def images_of_area(self) -> np.ndarray:
        """(A,) int64, images with objects of each area, crowds excluded."""
        return np.count_nonzero(sum(c.num_objects for c in self.by_class.values()), axis=1)


def match(ground_truth: Mapping, results: Iterable[Mapping], title: str = "") -> Matches:
    """Match the detections of boxes by pycocotools; for the arguments see :func:`compare`.

    Args:
        ground_truth: the content of a COCO-format annotation file.
        results: records of COCO's result format.
        title: of the progress bar.
    """
    frame = Frame.of(ground_truth)
    objects = frame.place_objects(ground_truth["annotations"])
    detections = frame.place({**record, "area": box_area(record)} for record in results)
    objects_of, detections_of = _by_class(objects), _by_class(detections)
    categories = list(frame.categories.values())
    by_class = {
        category["name"]: _match_class(
            frame, objects_of[category["id"]], detections_of[category["id"]], category["id"]
        )
        for category in with_progress(categories, title)
    }
    return Matches(list(frame.images.values()), objects, detections, by_class)


def _by_class(records: Iterable[dict]) -> defaultdict[Any, list[dict]]:
    groups = defaultdict(list)
    for record in records:
        groups[record["category_id"]].append(record)
    return groups


def _match_class(
    frame: Frame, objects: list[dict], detections: list[dict], category_id: int
) -> ClassMatches:
    if not objects and not detections:
        return _nothing(len(frame.images))
    evaluation = _evaluate(frame, objects, detections, category_id)
    num_images = len(evaluation.params.imgIds)
    by_area = [evaluation.evalImgs[i * num_images :][:num_images] for i in range(NUM_AREAS)]
    every = by_area[0]
    scores = _join(every, "dtScores")
    order = np.argsort(-scores, kind="stable")
    matched_ids = np.stack([_join(found, "dtMatches") for found in by_area]).astype(np.int64)
    is_counted = ~np.stack([_join(found, "dtIgnore") for found in by_area]).astype(bool)
    ious = np.concatenate([_ious(evaluation, found) for found in every], axis=-1)
    image_idxs = np.repeat([f["image_id"] - 1 for f in every], [len(f["dtIds"]) for f in every])
    return ClassMatches(
        scores=scores[order],
        image_idxs=image_idxs[order],
        detection_idxs=_join(every, "dtIds").astype(np.int64)[order] - 1,
        object_idxs=matched_ids[0, 0, order] - 1,
        ious=ious[0, order],
        match_ious=ious[1, order],
        is_correct=((matched_ids > 0) & is_counted)[..., order],
        is_counted=is_counted[..., order],
        num_objects=np.stack([_count_objects(found, len(frame.images)) for found in by_area]),
    )


def _nothing(num_images: int) -> ClassMatches:
    """Of a class without objects and detections."""
    idxs, values = np.zeros(0, dtype=np.int64), np.zeros(0)
    flags = np.zeros((NUM_AREAS, NUM_THRESHOLDS, 0), dtype=bool)
    num_objects = np.zeros((NUM_AREAS, num_images), dtype=np.int64)
    return ClassMatches(values, idxs, idxs, idxs, values, values, flags, flags, num_objects)


def _evaluate(
    frame: Frame, objects: list[dict], detections: list[dict], category_id: int
) -> COCOeval:
    """pycocotools' matches on the images that have anything of a class."""
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        evaluation = COCOeval(frame.fill(COCO, objects), frame.fill(COCO, detections), "bbox")
        evaluation.params.catIds = [category_id]
        image_ids = {record["image_id"] for record in (*objects, *detections)}
        evaluation.params.imgIds = sorted(image_ids)
        evaluation.evaluate()
    return evaluation


def _join(found: Iterable[Mapping], name: str) -> np.ndarray:
    """An entry of all images; detections are its last axis."""
    return np.concatenate([image[name] for image in found], axis=-1)


def _ious(evaluation: COCOeval, found: Mapping) -> np.ndarray:
    """(2, D) IoUs of an image's detections with their best and with their matched object."""
    key = found["image_id"], found["category_id"]
    # Columns in the order of the annotations, which the matching has changed in `found`.
    columns = {note["id"]: i for i, note in enumerate(evaluation._gts[key])}
    is_object = [not note["iscrowd"] for note in evaluation._gts[key]]
    num_detections = len(found["dtIds"])
    ious = np.reshape(evaluation.ious[key], (num_detections, len(columns)))
    best = ious[:, is_object].max(axis=1, initial=0)
    matched = np.full(num_detections, np.nan)
    for row, note_id in enumerate(found["dtMatches"][0]):
        if note_id > 0:
            matched[row] = ious[row, columns[note_id]]
    return np.stack([best, matched])


def _count_objects(found: Iterable[Mapping], num_images: int) -> np.ndarray:
    counts = np.zeros(num_images, dtype=np.int64)
    for image in found:
        counts[image["image_id"] - 1] = np.count_nonzero(image["gtIgnore"] == 0)
    return counts
