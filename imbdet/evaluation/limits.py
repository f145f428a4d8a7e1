"""The number of objects that can be found at all, given the limits on detections."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from imbdet.evaluation import federated
from imbdet.evaluation.comparison import RECALLS
from imbdet.wording import counted

# COCO's own limit of an image and class.
MAX_DETECTIONS = 100


def describe_limits(ground_truth: Mapping, *, per_class: int | None, per_image: int) -> str:
    """A sentence on objects that a perfect detector would not find; empty if it finds all.

    Args:
        ground_truth: the content of a COCO-format annotation file.
        per_class: number of detections of a class in an image that are compared; None for all, as
            LVIS does.
        per_image: number of detections that the detector returns for an image.
    """
    objects = Counter(
        (note["image_id"], note["category_id"])
        for note in ground_truth["annotations"]
        if not note.get("iscrowd")
    )
    if per_class is None:
        per_image = min(per_image, federated.MAX_DETECTIONS)
    limit = per_image if per_class is None else per_class
    wanted, findable, of_image = Counter(), Counter(), Counter()
    for (image_id, category_id), number in objects.items():
        wanted[category_id] += number
        findable[category_id] += min(number, limit, per_image)
        of_image[image_id] += min(number, limit)
    num_found = sum(min(number, per_image) for number in of_image.values())
    num_objects = sum(objects.values())
    if num_found == num_objects:
        return ""
    # The classes of an image may share its detections in any way: each gets the most it could.
    recalls = np.array([findable[category_id] / wanted[category_id] for category_id in wanted])
    highest = np.mean(recalls[:, None] + 1e-9 >= RECALLS)
    totals = Counter()
    for (image_id, _), number in objects.items():
        totals[image_id] += number
    rest, advice = _describe_rules(per_class)
    return (
        f"An image has up to {max(totals.values()):,} objects, but {per_image:,} detections "
        f"(TEST.DETECTIONS_PER_IMAGE){rest}: at most {num_found:,} of the "
        f"{counted(num_objects, 'object')} can be found, and AP is at most {100 * highest:.1f}. "
        f"{advice}"
    )


def _describe_rules(per_class: int | None) -> tuple[str, str]:
    """Texts on what else limits the detections, and on what to do."""
    if per_class is None:
        return "", f"LVIS counts up to {federated.MAX_DETECTIONS}."
    return (
        f", of which {per_class:,} of each class count (TEST.MAX_DETECTIONS)",
        f"Raise both keys, but numbers of another TEST.MAX_DETECTIONS than {MAX_DETECTIONS} are "
        "not COCO's.",
    )
