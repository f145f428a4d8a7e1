"""Problems of training data: numbers beyond thresholds, which docs/advise.md lists as well."""

from collections.abc import Iterator
from typing import NamedTuple

from imbdet.advice.class_tail import UNEQUAL
from imbdet.advice.survey import Survey
from imbdet.wording import counted, percent

# Share of small objects. On COCO, for which detectors are designed, it is 41 %.
MANY_SMALL = 0.5
# Share of objects so small that all priors would be background, were it not for the rule that each
# object has a positive one.
MANY_UNMET = 0.1
# Share of objects that are lost to non-maximum suppression: a hundredth of the recall.
MANY_SUPPRESSED = 0.01
# Share of annotations that are doubtful.
MANY_DOUBTFUL = 0.01
# Number of training images. Most of docs/results.md was found with 205 to 800.
FEW_IMAGES = 1000
# Negatives for each positive.
MOSTLY_BACKGROUND = 100
# Share of the background in the classification loss: as much as that of all objects.
MOST_OF_LOSS = 0.5
# Share of training images without objects.
MANY_EMPTY = 0.05


class Finding(NamedTuple):
    """Whether data have a problem that remedies are meant for.

    Attributes:
        name: name by which remedies refer to it; see :mod:`imbdet.advice.remedies`.
        is_found: whether its number is beyond the threshold.
        reason: the number, and its threshold if it has one, in words.
    """

    name: str
    is_found: bool
    reason: str


def find(survey: Survey) -> list[Finding]:
    """All findings that can be checked on these data."""
    return [
        *_of_classes(survey),
        *_of_boxes(survey),
        *_of_labels(survey),
        *_of_images(survey),
        *_of_checkpoint(survey),
    ]


def _of_classes(survey: Survey) -> Iterator[Finding]:
    tail, (bound, _) = survey.tail, survey.settings.frequency_bounds
    number = tail.in_at_most(bound)
    reasons = []
    if tail.ratio >= UNEQUAL:
        reasons.append(f"{tail.ratio:.0f} : 1 (from {UNEQUAL} : 1 on)")
    if number and len(tail.classes) > 1:
        reasons.append(f"{number} of {len(tail.classes)} classes in at most {bound} images")
    yield Finding("long_tail", bool(reasons), ", ".join(reasons))
    if lag := survey.tail_lag:
        low, high = (f"{100 * bound:+.0f}" for bound in lag.interval)
        yield Finding(
            "tail_behind",
            lag.is_behind,
            f"{percent(lag.rare.share)} of the objects of rare classes are not learnt, and "
            f"{percent(lag.others.share)} of the others, a difference of [{low}, {high}] points",
        )


def _of_boxes(survey: Survey) -> Iterator[Finding]:
    settings, fit, crowding = survey.settings, survey.fit, survey.crowding
    if survey.sizes:
        yield _share("small_objects", survey.sizes.small, MANY_SMALL, "of the objects are small")
    if fit and settings.ious:
        unmet = f"of the objects are so small that no anchor has an IoU of {settings.ious[0]:g}"
        yield _share("poor_anchors", fit.share_too_small(settings.ious[0]), MANY_UNMET, unmet)
    lost = "of the objects are lost to non-maximum suppression"
    yield _share("overlaps", crowding.suppressed, MANY_SUPPRESSED, lost)
    yield Finding(
        "crowd_regions",
        bool(crowding.crowds) and not settings.ignores_crowds,
        counted(crowding.crowds, "crowd"),
    )
    yield Finding(
        "too_few_detections",
        survey.beyond_limits > 0,
        f"{percent(survey.beyond_limits)} of the objects are beyond "
        f"{settings.detections_per_image} detections of an image, or "
        f"{settings.detections_per_class} of a class",
    )


def _of_labels(survey: Survey) -> Iterator[Finding]:
    doubts, number = survey.doubts, max(len(survey.train.boxes), 1)
    boxes = {*doubts.duplicates, *doubts.tiny, *doubts.elongated, *doubts.outside}
    share = (len(boxes) + survey.num_invalid) / max(len(survey.train.boxes) + survey.num_invalid, 1)
    yield _share("doubtful_boxes", share, MANY_DOUBTFUL, "of the boxes are doubtful")
    share, words = len(doubts.contradictions) / number, "of the boxes stand for two classes"
    if survey.ledger:
        said = len(survey.ledger.other_class) / max(survey.ledger.objects, 1)
        share, words = max(
            (share, words), (said, "of the objects were said to be of another class")
        )
        missing = len(survey.ledger.forgotten) / max(survey.ledger.images, 1)
        unsaid = "of the images have confident detections where no object is annotated"
        yield _share("forgotten_objects", missing, MANY_DOUBTFUL, unsaid)
    yield _share("doubtful_classes", share, MANY_DOUBTFUL, words)


def _of_images(survey: Survey) -> Iterator[Finding]:
    number = len(survey.train)
    yield Finding("few_images", number < FEW_IMAGES, f"{number:,} images (below {FEW_IMAGES:,})")
    ratio = survey.fit.negatives_per_positive if survey.fit else None
    if ratio is not None:
        yield Finding(
            "mostly_background",
            ratio >= MOSTLY_BACKGROUND,
            f"{ratio:,.0f} negatives for each positive (from {MOSTLY_BACKGROUND} on)",
        )
    if survey.settings.drops_empty:
        words = "of the images have no object, and are left out"
        yield _share("empty_images", survey.empty_share, MANY_EMPTY, words)


def _of_checkpoint(survey: Survey) -> Iterator[Finding]:
    look = survey.checkpoint
    if look is None:
        return
    unmatched = "of the small objects have no positive"
    yield _share("unmatched_objects", look.share_of_small_unmatched, MANY_UNMET, unmatched)
    if look.background and look.background.loss is not None:
        words = "of the classification loss is paid by the background"
        yield _share("costly_background", look.background.loss, MOST_OF_LOSS, words)


def _share(name: str, share: float, bound: float, words: str) -> Finding:
    reason = f"{percent(share)} {words} (from {percent(bound)} on)"
    return Finding(name, share >= bound, reason)
