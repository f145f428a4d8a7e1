"""Images with more objects than detections count."""

import json

import numpy as np
import pytest

from imbdet.errors import UserError
from imbdet.evaluation.comparison import compare
from imbdet.evaluation.limits import describe_limits
from imbdet.evaluation.matches import match
from tests.coco_metrics import compute_coco_metrics

LIBRARIES = pytest.mark.parametrize("library", ["faster-coco-eval", "pycocotools"])


def boxes(number):
    return [[20.0 * (i % 40), 20.0 * (i // 40), 10.0, 10.0] for i in range(number)]


def truth_of(numbers):
    """Ground truth by the numbers of objects of the classes 1, 2, ... in each image."""
    annotations = [
        {"image_id": image, "category_id": category, "bbox": box, "iscrowd": 0, "area": 100.0}
        for image, counts in enumerate(numbers, 1)
        for category, number in enumerate(counts, 1)
        for box in boxes(number)
    ]
    return {
        "images": [{"id": image} for image in range(1, len(numbers) + 1)],
        "categories": [{"id": i, "name": f"class {i}"} for i in range(1, len(numbers[0]) + 1)],
        "annotations": [{**note, "id": i} for i, note in enumerate(annotations, 1)],
    }


def perfect_detections(truth, per_image):
    found = []
    for image in truth["images"]:
        own = [note for note in truth["annotations"] if note["image_id"] == image["id"]]
        found += [{**note, "score": 1 - i / 1e4} for i, note in enumerate(own[:per_image])]
    return found


@LIBRARIES
@pytest.mark.parametrize(
    ("numbers", "per_class", "per_image"),
    [([[150], [50]], 100, 100), ([[150], [50]], 120, 1000), ([[300, 5]], 100, 1000)],
)
def test_a_perfect_detector_reaches_what_is_said(library, numbers, per_class, per_image):
    truth = truth_of(numbers)
    words = describe_limits(truth, per_class=per_class, per_image=per_image)
    metrics = compute_coco_metrics(
        truth,
        perfect_detections(truth, per_image),
        iou_type="bbox",
        library=library,
        max_detections=per_class,
    )
    assert f"AP is at most {metrics.overall['AP']:.1f}." in words
    assert list(metrics.overall)[-1] == f"AR@{per_class}"


def test_the_sentence_counts():
    words = describe_limits(truth_of([[80, 80], [10, 10]]), per_class=100, per_image=100)
    assert words.startswith("An image has up to 160 objects, but 100 detections")
    assert "at most 120 of the 180 objects can be found" in words


@pytest.mark.parametrize("numbers", [[[100]], [[50, 50]], [[0]]])
def test_nothing_is_said_where_all_can_be_found(numbers):
    assert describe_limits(truth_of(numbers), per_class=100, per_image=100) == ""


def test_crowds_are_not_to_be_found():
    truth = truth_of([[150]])
    for note in truth["annotations"]:
        note["iscrowd"] = 1
    assert describe_limits(truth, per_class=100, per_image=100) == ""


@LIBRARIES
@pytest.mark.parametrize("limit", [10, 37, 100, 200])
def test_our_matching_has_the_limit_of_the_libraries(library, limit):
    truth = truth_of([[150], [20]])
    detections = perfect_detections(truth, 1000)
    recall = compare(
        truth, detections, iou_type="bbox", library=library, max_detections=limit
    ).recall[0, 0, 0, -1]
    matches = match(truth, detections, limit).by_class["class 1"]
    assert len(matches.scores) == min(limit, 150) + min(limit, 20)
    np.testing.assert_allclose(matches.is_correct[0, 0].sum() / 170, recall)


def test_runs_of_different_limits_are_not_compared(tmp_path):
    from imbdet.compare.compared_data import common_limit
    from imbdet.compare.run_folders import RunFolder

    runs = []
    for name, limit in (("a", 100), ("b", 300)):
        folder = tmp_path / name / "inference" / "test"
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps({"max_detections": limit}))
        runs.append(RunFolder(name, tmp_path / name, {}, None))
    assert common_limit(runs[1:], "test") == 300
    with pytest.raises(UserError, match=r"different TEST\.MAX_DETECTIONS, 100 in a and 300 in b"):
        common_limit(runs, "test")
