"""A survey in words: lines and small tables of numbers."""

import textwrap
from collections.abc import Iterator

import numpy as np
from tabulate import tabulate

from imbdet.advice.annotated_images import AnnotatedImages
from imbdet.advice.doubtful_boxes import LEAST_SIDE, MOST_ELONGATED, SAME_BOX
from imbdet.advice.run_description import describe_run
from imbdet.advice.survey import Survey
from imbdet.wording import counted, listed, percent

# Columns before the text of a line.
_INDENT = 9
# Numbers of classes shown at both ends of a longer table.
_HEAD, _TAIL = 3, 5
# What docs/results.md says of the test split of blood cells.
DECIDED = "about differences of 3 points or more, not of 1"


def describe(survey: Survey) -> Iterator[str]:
    """The numbers of a survey, in lines of at most 100 columns."""
    for remark in survey.remarks:
        yield _line("WARNING", remark)
    yield _line("Images", f"to train on: {_amount(survey.train)}")
    if survey.test is not None:
        yield _line("", f"to test on: {_amount(survey.test)}. {_decided()}")
    yield from _describe_classes(survey)
    if survey.sizes is None:
        return
    yield _line("Sizes", _describe_sizes(survey))
    if survey.fit is not None:
        yield _line("Anchors", _describe_fit(survey))
    yield _line("Crowds", _describe_crowding(survey))
    yield _line("Labels", _describe_doubts(survey))
    for title, text in describe_run(survey):
        yield _line(title, text)


def _line(title: str, text: str) -> str:
    indent = " " * _INDENT
    start = f"{title:{_INDENT}}"
    return textwrap.fill(
        text,
        100,
        initial_indent=start,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,  # such as a path
    )


def _amount(images: AnnotatedImages) -> str:
    empty = int((images.num_per_image() == 0).sum())
    without = f", {counted(empty, 'image')} without any" if empty else ""
    return f"{counted(len(images), 'image')}, {counted(len(images.boxes), 'object')}{without}"


def _decided() -> str:
    return (
        f"For comparison: three seeds on the 72 test images of blood cells decide {DECIDED} "
        "(docs/results.md)"
    )


def _describe_classes(survey: Survey) -> Iterator[str]:
    tail, (rare, common) = survey.tail, survey.settings.frequency_bounds
    missing = tail.missing
    present = len(tail.classes) - len(missing)
    in_rare, in_common = tail.in_at_most(rare), tail.in_at_most(common)
    without = f"; without any object to train on: {listed(missing)}" if missing else ""
    if present < 2:
        yield _line("Classes", f"{counted(present, 'class', 'classes')}{without}")
        return
    yield _line(
        "Classes",
        f"{present}, {tail.ratio:.0f} : 1 from the most to the least frequent; {in_rare} in at "
        f"most {rare} images, {in_common - in_rare} in at most {common}, "
        f"{present - in_common} in more{without}",
    )
    order = np.argsort(-tail.objects, kind="stable")[:present].tolist()
    rows = [(tail.classes[k], f"{tail.objects[k]:,}", f"{tail.images[k]:,}") for k in order]
    middle = len(rows) - _HEAD - _TAIL
    if middle > 1:
        rows[_HEAD:-_TAIL] = [(f"... {middle} classes ...", "", "")]
    headers, align = ("class", "objects", "images"), ("left", "right", "right")
    table = tabulate(rows, headers, colalign=align, disable_numparse=True)
    yield textwrap.indent(table, " " * _INDENT)


def _describe_sizes(survey: Survey) -> str:
    assert survey.sizes is not None
    small, medium, large, median = survey.sizes
    stride = f"; smallest stride: {min(survey.strides)} pixels" if survey.strides else ""
    return (
        f"{survey.settings.resolution}: {percent(small)} small, {percent(medium)} medium, "
        f"{percent(large)} large, as COCO has them; median side: {median:.0f} pixels{stride}"
    )


def _describe_fit(survey: Survey) -> str:
    fit, ious = survey.fit, survey.settings.ious
    assert fit is not None
    said = (
        f"of {survey.place} in {counted(fit.num_images, 'image')}, drawn with a fixed seed: the "
        f"best IoU of an object is {np.median(fit.best_ious):.2f} (median)"
    )
    if ious:
        background, positive = ious
        said += (
            f", that of {percent(fit.share_below(positive))} below {positive:g} (positive), of "
            f"{percent(fit.share_below(background))} below {background:g} (background)"
        )
    if fit.num_positives is None:
        return f"{said}. The assigner looks at predictions: a checkpoint tells its positives"
    positives = f"{np.median(fit.num_positives):.0f}"
    return (
        f"{said}. Positives of an object: {positives} (median), none for "
        f"{percent(float((fit.num_positives == 0).mean()))}; "
        f"{fit.negatives_per_positive:,.0f} negatives for each positive"
    )


def _describe_crowding(survey: Survey) -> str:
    crowding, settings = survey.crowding, survey.settings
    regions = counted(crowding.regions, "crowd or ignored region", "crowds or ignored regions")
    return (
        f"{crowding.mean:.1f} objects in an image, at most {crowding.most:,}, of at most "
        f"{settings.detections_per_image} detections; {percent(crowding.suppressed)} are lost to "
        f"non-maximum suppression, with an IoU over {settings.nms_threshold:g} to another one of "
        f"their class; {regions}"
    )


def _describe_doubts(survey: Survey) -> str:
    doubts = survey.doubts
    kinds = {
        f"with the box (IoU over {SAME_BOX}) and class of another one": doubts.duplicates,
        "with the box, but not the class, of another one": doubts.contradictions,
        f"with a side below {LEAST_SIDE} pixels": doubts.tiny,
        f"more than {MOST_ELONGATED} times as long as wide": doubts.elongated,
        "far beyond their image": doubts.outside,
    }
    found = [
        f"{len(rows):,} {kind} (first: {survey.train.name(rows[0])})"
        for kind, rows in kinds.items()
        if len(rows)
    ]
    return f"boxes {', '.join(found)}" if found else "no box is doubtful by itself"
