"""How suspicious annotations and images are, by what a training leaves behind.

A suspicion is a function of :class:`Evidence`. Its values, higher ones for what is more
suspicious, are of the objects, or of the images where objects may be missing. NaN says nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import pycocotools.mask
from planted import Planted

from imbdet.reading import read_json


@dataclass(frozen=True)
class Ledger:
    """The tables of a ledger in the order of the annotation file.

    Attributes:
        objects: of the annotations that are no crowds.
        images: of all images, null where one was never shown.
    """

    objects: pl.DataFrame
    images: pl.DataFrame

    @classmethod
    def read(cls, folder: Path, planted: Planted) -> "Ledger":
        """From ``OUTPUT_DIR/ledger``."""
        rows = {"objects": ("id", planted.objects), "images": ("image_id", planted.images)}
        tables = {}
        for name, (key, records) in rows.items():
            ids = pl.DataFrame({key: [str(record["id"]) for record in records]})
            table = pl.read_parquet(folder / f"{name}.parquet")
            tables[name] = ids.join(table, on=key, how="left", maintain_order="left")
        return cls(**tables)


@dataclass(frozen=True)
class Evidence:
    """What is known after a training.

    Attributes:
        planted: the annotations; a suspicion looks at no truth.
        ledger: of the whole training.
        last_epoch: of an epoch after its end, in which nothing is learnt.
        detections: final ones on the training images, a file of COCO's form.
    """

    planted: Planted
    ledger: Ledger
    last_epoch: Ledger
    detections: Path

    @cached_property
    def overlaps(self) -> np.ndarray:
        """(A,) the highest IoU of each object with another one of its class."""
        ious = np.zeros(len(self.planted.objects))
        groups: dict[tuple, list[int]] = {}
        for k, note in enumerate(self.planted.objects):
            groups.setdefault((note["image_id"], note["category_id"]), []).append(k)
        for places in groups.values():
            boxes = [self.planted.objects[k]["bbox"] for k in places]
            among = pycocotools.mask.iou(boxes, boxes, [0] * len(boxes))
            np.fill_diagonal(among, 0)
            ious[places] = among.max(axis=1)
        return ious

    @cached_property
    def cleanlab_inputs(self) -> dict[str, list]:
        """The annotations and detections in cleanlab's form, image by image."""
        class_of = {c["id"]: k for k, c in enumerate(self.planted.content["categories"])}
        place_of = {image["id"]: k for k, image in enumerate(self.planted.images)}
        annotated: list[list[dict]] = [[] for _ in place_of]
        for note in self.planted.objects:
            annotated[place_of[note["image_id"]]].append(note)
        detected: list[list[list]] = [[[] for _ in class_of] for _ in place_of]
        for found in read_json(self.detections):
            row = [*_corners(found["bbox"]), found["score"]]
            detected[place_of[found["image_id"]]][class_of[found["category_id"]]].append(row)
        return {
            "labels": [
                {
                    "bboxes": np.array([_corners(n["bbox"]) for n in notes]).reshape(-1, 4),
                    "labels": np.array([class_of[n["category_id"]] for n in notes], dtype=int),
                }
                for notes in annotated
            ],
            "predictions": [
                _array_of([np.array(rows, dtype=float).reshape(-1, 5) for rows in of_classes])
                for of_classes in detected
            ],
        }

    def by_object(self, of_images: list[np.ndarray]) -> np.ndarray:
        """Values of the annotations of each image, in the order of all objects."""
        left = {
            image["id"]: iter(values)
            for image, values in zip(self.planted.images, of_images, strict=True)
        }
        return np.array([next(left[note["image_id"]]) for note in self.planted.objects])


def _array_of(parts: list[np.ndarray]) -> np.ndarray:
    array = np.empty(len(parts), dtype=object)
    array[:] = parts
    return array


def _corners(box: list[float]) -> list[float]:
    x, y, width, height = box
    return [x, y, x + width, y + height]


def _confident_score(evidence: Evidence) -> float:
    """That from which on there are as many detections as annotated objects.

    cleanlab's thresholds, 0.95 and 0.5, are of detectors by softmax: sigmoid scores of focal loss
    hardly reach them.
    """
    scores = sorted((found["score"] for found in read_json(evidence.detections)), reverse=True)
    return scores[min(len(scores), len(evidence.planted.objects)) - 1]


def _swap(evidence: Evidence, **thresholds: float) -> np.ndarray:
    from cleanlab.object_detection.rank import compute_swap_box_scores

    return -evidence.by_object(compute_swap_box_scores(**evidence.cleanlab_inputs, **thresholds))


def _badloc(evidence: Evidence, **thresholds: float) -> np.ndarray:
    from cleanlab.object_detection.rank import compute_badloc_box_scores

    return -evidence.by_object(compute_badloc_box_scores(**evidence.cleanlab_inputs, **thresholds))


def _overlooked(evidence: Evidence, **thresholds: float) -> np.ndarray:
    from cleanlab.object_detection.rank import (
        compute_overlooked_box_scores,
        pool_box_scores_per_image,
    )

    scores = compute_overlooked_box_scores(**evidence.cleanlab_inputs, **thresholds)
    return -pool_box_scores_per_image(scores)


def _at_confident_score(
    suspicion: Callable[..., np.ndarray], threshold: str
) -> Callable[[Evidence], np.ndarray]:
    return lambda evidence: suspicion(evidence, **{threshold: _confident_score(evidence)})


def _of_ledger(table: str, expression: pl.Expr, *, epoch: bool = False) -> "Suspicion":
    def suspicion(evidence: Evidence) -> np.ndarray:
        ledger = evidence.last_epoch if epoch else evidence.ledger
        values = getattr(ledger, table).select(expression.cast(pl.Float64).fill_null(np.nan))
        return values.to_series().to_numpy()

    return suspicion


Suspicion = Callable[[Evidence], np.ndarray]

_SAID_OTHER = pl.col("wrong_class_least") / pl.col("judged")

# By kind of fault, and by what it looks at: replace or add lines to try others.
SUSPICIONS: Mapping[str, Mapping[str, Suspicion]] = {
    "wrong class": {
        "cleanlab: swap": _swap,
        "cleanlab: swap, threshold by number": _at_confident_score(
            _swap, "high_probability_threshold"
        ),
        "last epoch: cls_loss_mean": _of_ledger("objects", pl.col("cls_loss_mean"), epoch=True),
        "ledger: 1 - score_mean": _of_ledger("objects", 1 - pl.col("score_mean")),
        "ledger: 1 - score_best": _of_ledger("objects", 1 - pl.col("score_best")),
        "ledger: cls_loss_mean": _of_ledger("objects", pl.col("cls_loss_mean")),
        "ledger: wrong / judged": _of_ledger("objects", pl.col("wrong") / pl.col("judged")),
        "ledger: wrong_class_least / judged": _of_ledger("objects", _SAID_OTHER.fill_null(0)),
        "ledger: wrong_class_least / judged * (1 - score_mean)": _of_ledger(
            "objects", _SAID_OTHER.fill_null(0) * (1 - pl.col("score_mean"))
        ),
    },
    "badly placed": {
        "cleanlab: badloc": _badloc,
        "cleanlab: badloc, threshold by number": _at_confident_score(
            _badloc, "low_probability_threshold"
        ),
        "last epoch: box_loss_mean": _of_ledger("objects", pl.col("box_loss_mean"), epoch=True),
        "last epoch: 1 - iou_mean": _of_ledger("objects", 1 - pl.col("iou_mean"), epoch=True),
        "ledger: box_loss_mean": _of_ledger("objects", pl.col("box_loss_mean")),
        "ledger: 1 - iou_mean": _of_ledger("objects", 1 - pl.col("iou_mean")),
        "ledger: 1 - iou_best": _of_ledger("objects", 1 - pl.col("iou_best")),
        "ledger: score_mean * (1 - iou_mean)": _of_ledger(
            "objects", pl.col("score_mean") * (1 - pl.col("iou_mean"))
        ),
        "ledger: 1 - learnt / judged": _of_ledger(
            "objects", 1 - pl.col("learnt") / pl.col("judged")
        ),
    },
    "missing": {
        "cleanlab: overlooked": _overlooked,
        "cleanlab: overlooked, threshold by number": _at_confident_score(
            _overlooked, "high_probability_threshold"
        ),
        "last epoch: loss_share": _of_ledger("images", pl.col("loss_share"), epoch=True),
        "last epoch: background_mean": _of_ledger("images", pl.col("background_mean"), epoch=True),
        "ledger: background_mean": _of_ledger("images", pl.col("background_mean")),
        "ledger: background_best": _of_ledger("images", pl.col("background_best")),
    },
    "duplicate": {
        "annotations: IoU with another of its class": lambda evidence: evidence.overlaps,
        "last epoch: cls_loss_mean": _of_ledger("objects", pl.col("cls_loss_mean"), epoch=True),
        "ledger: 1 - positives / seen": _of_ledger(
            "objects", -pl.col("positives") / pl.col("seen")
        ),
        "ledger: IoU with another of its class * score_mean": lambda evidence: (
            evidence.overlaps * _of_ledger("objects", pl.col("score_mean"))(evidence)
        ),
    },
}
