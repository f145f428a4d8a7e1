"""Which classes a detector confuses if it is used at its best thresholds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imbdet.evaluation.kept_detections import Kept
from imbdet.evaluation.matches import Matches
from imbdet.evaluation.matching import Detections, Objects, boxes_of, match_boxes


@dataclass(frozen=True)
class Confusion:
    """Numbers of objects of each class that were detected as each class, at IoU 0.5.

    Attributes:
        counts: numbers by the class of the object, None for background, and the class of the
            detection, None for a missed object. Pairs that never occur are left out. The numbers of
            an object's class add up to its objects, those of a detection's class to its kept
            detections; crowds and detections on them are not counted.
    """

    counts: Mapping[tuple[str | None, str | None], int]

    def rows(self) -> list[dict[str, Any]]:
        """Rows for JSON, the most frequent pair first."""
        return [
            {"object": of_object, "detection": of_detection, "count": number}
            for (of_object, of_detection), number in sorted(
                self.counts.items(), key=lambda entry: -entry[1]
            )
        ]


def confuse(matches: Matches, kept: Kept) -> Confusion:
    """Match the wrong detections with the missed objects, whatever their classes.

    A detection that is right in its own class stays so, as COCO's matching gives it that object.
    The rest are matched by the same rule, the highest score first.

    Args:
        matches: matches of the run.
        kept: right and wrong detections of the run, and the objects that it missed.
    """
    names = list(matches.by_class)
    found = [names[matches.detections[i]["category_id"] - 1] for i in kept.right]
    counts: Counter[tuple[str | None, str | None]] = Counter((name, name) for name in found)
    wrong = _by_image_and_score(matches, kept.wrong)
    wrong_classes = [names[matches.detections[i]["category_id"] - 1] for i in wrong]
    missed_classes = [names[matches.objects[i]["category_id"] - 1] for i in kept.missed]
    missed = [matches.objects[i] for i in kept.missed]
    pairs = match_boxes(
        Objects(
            groups=_images(missed),
            boxes=boxes_of(missed),
            areas=np.array([note["area"] for note in missed], dtype=float),
            is_crowd=np.zeros(len(missed), dtype=bool),
        ),
        Detections(
            _images([matches.detections[i] for i in wrong]),
            boxes_of([matches.detections[i] for i in wrong]),
        ),
    ).object_idxs
    for name, place in zip(wrong_classes, pairs, strict=True):
        counts[missed_classes[place] if place >= 0 else None, name] += 1
    never = np.setdiff1d(np.arange(len(missed)), pairs)
    counts.update((missed_classes[place], None) for place in never)
    return Confusion(dict(counts))


def _by_image_and_score(matches: Matches, places: np.ndarray) -> np.ndarray:
    found = [matches.detections[place] for place in places]
    scores = np.array([record["score"] for record in found], dtype=float)
    return places[np.lexsort([-scores, _images(found)])]


def _images(records: Sequence[Mapping]) -> np.ndarray:
    return np.array([record["image_id"] for record in records], dtype=np.int64)
