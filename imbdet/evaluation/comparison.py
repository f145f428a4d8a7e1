"""The comparison that gives COCO's metrics, by faster-coco-eval or by pycocotools."""

import contextlib
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import faster_coco_eval
import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
import pycocotools.mask

from imbdet.errors import UserError, suggest

# At which COCO looks at the precision.
RECALLS = np.linspace(0, 1, 101)

# Both libraries have COCO's own interface: (a data set, the comparison of two data sets).
_LIBRARIES = {
    "faster-coco-eval": (faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster),
    "pycocotools": (pycocotools.coco.COCO, pycocotools.cocoeval.COCOeval),
}


@dataclass(frozen=True)
class Comparison:
    """Precision and recall, -1 where there is no ground truth.

    T IoU thresholds, R = 101 recalls, K classes, A = 4 areas (all, small, medium, large) and M = 3
    numbers of detections of a class in an image (1, 10, ``max_detections``).

    Attributes:
        precision: (T, R, K, A, M).
        recall: (T, K, A, M).
        objects: (K,) names of the classes, in the order of their ids, each with its number of
            objects, crowds excluded.
        max_detections: COCO's is 100.
    """

    precision: np.ndarray
    recall: np.ndarray
    objects: list[tuple[str, int]]
    max_detections: int


def check_library(library: str) -> None:
    """Raise UserError unless ``library`` is one that :func:`compute_coco_metrics` knows."""
    if library not in _LIBRARIES:
        raise UserError(
            f"TEST.COCO_LIBRARY is '{library}', which does not exist. "
            f"{suggest(library, _LIBRARIES)}"
        )


def compare(
    ground_truth: Mapping,
    detections: Iterable[Mapping],
    *,
    iou_type: str,
    library: str,
    max_detections: int = 100,
) -> Comparison:
    """Compare detections with ground truth as COCO does.

    Args:
        ground_truth: the content of a COCO-format annotation file, not changed. Its ids may be any
            numbers or texts. An annotation without "iscrowd" is not a crowd, one without "area"
            has that of its box.
        detections: records of COCO's result format: "image_id", "category_id", "bbox" (XYWH,
            pixels), "score" and, for masks, "segmentation" (run lengths).
        iou_type: "bbox", or "segm", for which every record must have a "segmentation".
        library: "faster-coco-eval" or "pycocotools". The numbers are the same.
        max_detections: number of detections of a class in an image that count, those of the highest
            scores; at least 10. COCO's is 100.
    """
    frame = Frame.of(ground_truth)
    annotations = frame.place_objects(ground_truth["annotations"])
    # Unmatched detections count against objects of their own size, so they have an area, too.
    area = {"bbox": box_area, "segm": _mask_area}[iou_type]
    detections = frame.place({**record, "area": area(record)} for record in detections)
    counts = Counter(note["category_id"] for note in annotations if not note["iscrowd"])
    objects = [(category["name"], counts[category["id"]]) for category in frame.categories.values()]
    limits = [1, 10, max_detections]
    found = _compare(frame, annotations, detections, iou_type, library, limits)
    return Comparison(*found, objects, max_detections)


@dataclass(frozen=True)
class Frame:
    """Images and categories by their own ids, with the numbers 1, 2, ... as "id".

    faster-coco-eval wants integers, and in both libraries an annotation with id 0 is never found.
    """

    images: dict[Any, dict]
    categories: dict[Any, dict]

    @classmethod
    def of(cls, ground_truth: Mapping) -> "Frame":
        """The frame of the content of an annotation file."""
        return cls(_number(ground_truth["images"]), _number(ground_truth["categories"]))

    def place(self, records: Iterable[Mapping]) -> list[dict]:
        """The annotations or detections with numbers as ids."""
        # Annotation files may have annotations of unlisted images; detectron2 ignores them, too.
        listed = [record for record in records if record["image_id"] in self.images]
        return [
            {
                **record,
                "id": number,
                "image_id": self.images[record["image_id"]]["id"],
                "category_id": self.categories[record["category_id"]]["id"],
            }
            for number, record in enumerate(listed, 1)
        ]

    def place_objects(self, annotations: Iterable[Mapping]) -> list[dict]:
        """The annotations placed, each with "iscrowd" and "area"."""
        return self.place({"iscrowd": 0, "area": box_area(note), **note} for note in annotations)

    def fill(self, coco_type: type, records: list[dict]) -> Any:
        """The library's data set of placed records."""
        coco = coco_type()
        coco.dataset = {
            "images": list(self.images.values()),
            "categories": list(self.categories.values()),
            "annotations": records,
        }
        coco.createIndex()
        return coco


def _number(records: Iterable[Mapping]) -> dict[Any, dict]:
    # In the order of the ids, in which the libraries take detections of equal score.
    ordered = sorted(records, key=lambda record: record["id"])
    return {record["id"]: {**record, "id": number} for number, record in enumerate(ordered, 1)}


def box_area(record: Mapping) -> float:
    """Square pixels of a record's box."""
    return record["bbox"][2] * record["bbox"][3]


def _mask_area(record: Mapping) -> float:
    return float(pycocotools.mask.area(record["segmentation"]))


def _compare(
    frame: Frame,
    annotations: list[dict],
    detections: list[dict],
    iou_type: str,
    library: str,
    limits: list[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall; see :class:`Comparison`."""
    coco_type, comparison_type = _LIBRARIES[library]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        ground_truth = frame.fill(coco_type, annotations)
        comparison = comparison_type(ground_truth, frame.fill(coco_type, detections), iou_type)
        comparison.params.maxDets = limits
        comparison.evaluate()
        comparison.accumulate()
    return comparison.eval["precision"], comparison.eval["recall"]
