"""Which detections count in a federated data set such as LVIS.

An image is annotated for some classes only. LVIS evaluates a class on the images that have objects
of it and on those that are known to have none; where not all objects of a class are annotated, an
unmatched detection is neither right nor wrong (Gupta et al., "LVIS: A Dataset for Large Vocabulary
Instance Segmentation", CVPR 2019, https://arxiv.org/abs/1908.03195, section 2).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from imbdet.formats.lvis_json import NEGATIVE, NOT_EXHAUSTIVE

# Limit of an image, over all classes.
MAX_DETECTIONS = 300

# The id of an image and that of a category.
Pair = tuple[Any, Any]


def select_judged(ground_truth: Mapping, detections: Iterable[Mapping]) -> list[Mapping]:
    """The detections that are compared: among the 300 best of an image, those of annotated classes.

    Args:
        ground_truth: the content of an LVIS-format annotation file.
        detections: records of COCO's result format, where the earlier of equal scores is better.
    """
    looked_at = {(note["image_id"], note["category_id"]) for note in ground_truth["annotations"]}
    looked_at |= _pairs(ground_truth, NEGATIVE)
    of_image = defaultdict(list)
    for record in detections:
        of_image[record["image_id"]].append(record)
    return [
        record
        for records in of_image.values()
        for record in _best(records)
        if (record["image_id"], record["category_id"]) in looked_at
    ]


def find_not_exhaustive(ground_truth: Mapping) -> set[Pair]:
    """The pairs for which an unmatched detection may be right."""
    return _pairs(ground_truth, NOT_EXHAUSTIVE)


def _pairs(ground_truth: Mapping, field: str) -> set[Pair]:
    return {
        (image["id"], category_id)
        for image in ground_truth["images"]
        for category_id in image[field]
    }


def _best(records: list[Mapping]) -> list[Mapping]:
    if len(records) <= MAX_DETECTIONS:
        return records
    return sorted(records, key=lambda record: -record["score"])[:MAX_DETECTIONS]
