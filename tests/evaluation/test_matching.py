"""Matches are those of pycocotools, box by box."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from imbdet.evaluation.comparison import Frame, box_area
from imbdet.evaluation.limits import MAX_DETECTIONS
from imbdet.evaluation.matches import match
from imbdet.evaluation.matching import AREA_RANGES, IOU_THRESHOLDS
from tests.evaluation.conftest import imperfect_detections


def by_pycocotools(ground_truth, results):
    """By class, places of its detections, (A, T, D) matched annotations, and whether ignored."""
    frame = Frame.of(ground_truth)
    objects = frame.place_objects(ground_truth["annotations"])
    detections = frame.place({**record, "area": box_area(record)} for record in results)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(frame.fill(COCO, objects), frame.fill(COCO, detections), "bbox")
        evaluation.evaluate()
    assert np.array_equal(evaluation.params.areaRng, AREA_RANGES)
    assert np.array_equal(evaluation.params.iouThrs, IOU_THRESHOLDS)
    assert evaluation.params.maxDets[-1] == MAX_DETECTIONS
    shape = len(frame.categories), len(AREA_RANGES), len(frame.images)
    entries = np.array(evaluation.evalImgs, dtype=object).reshape(shape)
    found = {}
    for of_class, category in zip(entries, frame.categories.values(), strict=True):
        joined = [
            np.stack(
                [
                    np.concatenate([np.zeros((10, 0)), *(e[name] for e in of_area if e)], axis=1)
                    for of_area in of_class
                ]
            )
            for name in ("dtMatches", "dtIgnore")
        ]
        ids = [number for entry in of_class[0] if entry for number in entry["dtIds"]]
        found[category["name"]] = (np.array(ids, dtype=int) - 1, *joined)
    return found


def crowded(seed):
    """Few places and scores, so that many are equal; many objects and detections of a class."""
    rng = np.random.default_rng(seed)

    def records(num, **fields):
        boxes = np.concatenate([rng.integers(0, 4, (num, 2)) * 30, np.full((num, 2), 60)], axis=1)
        return [
            {
                "image_id": int(rng.integers(3)),
                "category_id": int(rng.integers(2)),
                "bbox": box.tolist(),
                **{name: make() for name, make in fields.items()},
            }
            for box in boxes
        ]

    areas = [1, 1024, 5000, 9216, 1e5]  # with ends of the ranges
    objects = records(
        60, area=lambda: float(rng.choice(areas)), iscrowd=lambda: int(rng.random() < 0.1)
    )
    truth = {
        "images": [{"id": i} for i in range(3)],
        "categories": [{"id": i, "name": str(i)} for i in range(2)],
        "annotations": objects,
    }
    return truth, records(900, score=lambda: float(rng.random().__round__(1)))


@pytest.mark.parametrize("case", ["sample", "ties", "crowded"])
def test_matches_are_those_of_pycocotools(sample, case):
    if case == "crowded":
        truth, results = crowded(seed=0)
    else:
        decimals = 1 if case == "ties" else None
        truth, results = sample, imperfect_detections(sample, seed=0, decimals=decimals)
    expected = by_pycocotools(truth, results)
    num_correct = 0
    for name, of_class in match(truth, results).by_class.items():
        places, matched, is_ignored = expected[name]
        columns = np.argsort(places)
        order = np.argsort(of_class.detection_idxs)
        np.testing.assert_array_equal(of_class.detection_idxs[order], places[columns])
        matched, is_ignored = matched[..., columns], is_ignored[..., columns].astype(bool)
        np.testing.assert_array_equal(of_class.is_counted[..., order], ~is_ignored)
        np.testing.assert_array_equal(of_class.is_correct[..., order], (matched > 0) & ~is_ignored)
        np.testing.assert_array_equal(of_class.object_idxs[order], matched[0, 0] - 1)
        num_correct += of_class.is_correct.sum()
    assert num_correct > 100
