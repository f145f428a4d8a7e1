"""The comparison that gives COCO's or LVIS's metrics, by faster-coco-eval or by pycocotools."""

import contextlib
import functools
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import faster_coco_eval
import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
import pycocotools.mask

from imbdet.errors import UserError, suggest
from imbdet.evaluation import federated
from imbdet.evaluation.matching import NUM_AREAS, NUM_THRESHOLDS
from imbdet.formats.lvis_json import NEGATIVE, NOT_EXHAUSTIVE

# Recalls at which COCO samples the precision.
RECALLS = np.linspace(0, 1, 101)


class _FederatedCOCOeval(pycocotools.cocoeval.COCOeval):
    """pycocotools' comparison with LVIS's rule for unmatched detections."""

    def evaluateImg(self, imgId, catId, aRng, maxDet):  # noqa: N802, N803
        found = super().evaluateImg(imgId, catId, aRng, maxDet)
        if found and catId in self.cocoGt.imgs[imgId][NOT_EXHAUSTIVE]:
            found["dtIgnore"] |= found["dtMatches"] == 0
        return found


@dataclass(frozen=True)
class _Library:
    """A library for comparisons, with the interface of pycocotools.

    Attributes:
        dataset: constructor of a data set.
        coco: constructor of COCO's comparison of two data sets.
        lvis: constructor of LVIS's comparison.
    """

    dataset: Callable[..., Any]
    coco: Callable[..., Any]
    lvis: Callable[..., Any]


_LIBRARIES = {
    "faster-coco-eval": _Library(
        faster_coco_eval.COCO,
        faster_coco_eval.COCOeval_faster,
        functools.partial(faster_coco_eval.COCOeval_faster, lvis_style=True),
    ),
    "pycocotools": _Library(
        pycocotools.coco.COCO, pycocotools.cocoeval.COCOeval, _FederatedCOCOeval
    ),
}


@dataclass(frozen=True)
class Comparison:
    """Precision and recall, -1 where there is no ground truth.

    Shape shorthand: T IoU thresholds, R = 101 recalls, K classes, A = 4 areas (all, small, medium,
    large) and M numbers of detections that count.

    Attributes:
        precision: (T, R, K, A, M) values in [0, 1].
        recall: (T, K, A, M) values in [0, 1].
        objects: (K,) names of the classes, in the order of their ids, each with its number of
            objects, crowds excluded.
        limits: (M,) numbers of detections that count: COCO's 1, 10 and 100 of a class in an image,
            or LVIS's 300 of all classes in an image.
    """

    precision: np.ndarray
    recall: np.ndarray
    objects: list[tuple[str, int]]
    limits: Sequence[int]


def check_library(library: str) -> None:
    """Raise UserError unless ``library`` is one that :func:`compare` knows."""
    if library not in _LIBRARIES:
        raise UserError(
            f"TEST.COCO_LIBRARY is '{library}', which does not exist. "
            f"{suggest(library, _LIBRARIES)}"
        )


def coco_limits(max_detections: int) -> list[int]:
    """The numbers of detections of a class in an image for which COCO has recalls."""
    return [1, 10, max_detections]


def compare_nothing(ground_truth: Mapping, limits: Sequence[int]) -> Comparison:
    """A comparison without detections, with -1 everywhere.

    Args:
        ground_truth: the content of an annotation file.
        limits: see :class:`Comparison`.
    """
    objects = _count_objects(ground_truth)
    shape = (len(objects), NUM_AREAS, len(limits))
    precision = np.full((NUM_THRESHOLDS, len(RECALLS), *shape), -1.0)
    return Comparison(precision, np.full((NUM_THRESHOLDS, *shape), -1.0), objects, limits)


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
        library: "faster-coco-eval" or "pycocotools". The results are the same.
        max_detections: number of detections of a class in an image that count, those of the highest
            scores; at least 10. COCO's is 100.
    """
    chosen = _LIBRARIES[library]
    limits = coco_limits(max_detections)
    found = _compare(ground_truth, detections, iou_type, chosen.dataset, chosen.coco, limits)
    return Comparison(*found, _count_objects(ground_truth), limits)


def compare_federated(
    ground_truth: Mapping,
    detections: Iterable[Mapping],
    *,
    iou_type: str,
    library: str,
    not_exhaustive: Set[federated.Pair],
) -> Comparison:
    """Compare detections with ground truth as LVIS does.

    Classes are compared one by one: the libraries store a record for each pair of an image and a
    class, of which LVIS's validation set has 24 million.

    Args:
        ground_truth: the content of an LVIS-format annotation file, not changed.
        detections: detections from :func:`federated.select_judged`.
        iou_type: see :func:`compare`.
        library: see :func:`compare`.
        not_exhaustive: pairs from :func:`federated.find_not_exhaustive`.
    """
    chosen = _LIBRARIES[library]
    limits = [federated.MAX_DETECTIONS]
    notes_of, detections_of = map(_by_category, (ground_truth["annotations"], detections))
    images = {image["id"]: image for image in ground_truth["images"]}
    objects = _count_objects(ground_truth)
    precision = np.full((NUM_THRESHOLDS, len(RECALLS), len(objects), NUM_AREAS, 1), -1.0)
    recall = np.full((NUM_THRESHOLDS, len(objects), NUM_AREAS, 1), -1.0)
    for k, category in enumerate(_sorted_categories(ground_truth)):
        if not objects[k][1]:
            continue
        notes, found = notes_of[category["id"]], detections_of[category["id"]]
        listed = images.keys() & {record["image_id"] for record in (*notes, *found)}
        looked_at = [_ask_for(category["id"], images[key], not_exhaustive) for key in listed]
        of_class = {"images": looked_at, "categories": [category], "annotations": notes}
        precision[:, :, [k]], recall[:, [k]] = _compare(
            of_class, found, iou_type, chosen.dataset, chosen.lvis, limits
        )
    return Comparison(precision, recall, objects, limits)


def _ask_for(category_id: Any, image: Mapping, not_exhaustive: Set[federated.Pair]) -> dict:
    """An image that is compared for one category, which has the number 1 in its frame."""
    is_open = (image["id"], category_id) in not_exhaustive
    return {**image, NEGATIVE: [1], NOT_EXHAUSTIVE: [1] if is_open else []}


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

    def fill(self, make_dataset: Callable[..., Any], records: list[dict]) -> Any:
        """The library's data set of placed records."""
        coco = make_dataset()
        coco.dataset = {
            "images": list(self.images.values()),
            "categories": list(self.categories.values()),
            "annotations": records,
        }
        coco.createIndex()
        return coco


def _number(records: Iterable[Mapping]) -> dict[Any, dict]:
    # Numbers follow the order of the ids, in which the libraries take detections of equal score.
    ordered = sorted(records, key=lambda record: record["id"])
    return {record["id"]: {**record, "id": number} for number, record in enumerate(ordered, 1)}


def box_area(record: Mapping) -> float:
    """Area of a record's box in square pixels."""
    return record["bbox"][2] * record["bbox"][3]


def _mask_area(record: Mapping) -> float:
    return float(pycocotools.mask.area(record["segmentation"]))


def _by_category(records: Iterable[Mapping]) -> defaultdict[Any, list[Mapping]]:
    found = defaultdict(list)
    for record in records:
        found[record["category_id"]].append(record)
    return found


def _count_objects(ground_truth: Mapping) -> list[tuple[str, int]]:
    """Names of the classes with their numbers of objects; see :class:`Comparison`."""
    listed = {image["id"] for image in ground_truth["images"]}
    counts = Counter(
        note["category_id"]
        for note in ground_truth["annotations"]
        if note["image_id"] in listed and not note.get("iscrowd")
    )
    return [
        (category["name"], counts[category["id"]]) for category in _sorted_categories(ground_truth)
    ]


def _sorted_categories(ground_truth: Mapping) -> list[Mapping]:
    return sorted(ground_truth["categories"], key=lambda category: category["id"])


def _compare(
    ground_truth: Mapping,
    detections: Iterable[Mapping],
    iou_type: str,
    make_dataset: Callable[..., Any],
    make_comparison: Callable[..., Any],
    limits: list[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall; see :class:`Comparison`."""
    frame = Frame.of(ground_truth)
    annotations = frame.place_objects(ground_truth["annotations"])
    # Unmatched detections count against objects of their own size, so they have an area, too.
    area = {"bbox": box_area, "segm": _mask_area}[iou_type]
    placed = frame.place({**record, "area": area(record)} for record in detections)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        comparison = make_comparison(
            frame.fill(make_dataset, annotations), frame.fill(make_dataset, placed), iou_type
        )
        comparison.params.maxDets = limits
        comparison.evaluate()
        comparison.accumulate()
    return comparison.eval["precision"], comparison.eval["recall"]
