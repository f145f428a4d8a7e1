"""Metrics of LVIS, as the package lvis computes them, and of groups of classes."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from imbdet.compare.accumulation import average_precisions
from imbdet.compare.compared_data import find_protocol
from imbdet.compare.ground_truth import GroundTruth
from imbdet.evaluation import COCOEvaluator
from imbdet.evaluation.federated import select_judged
from imbdet.evaluation.frequency_groups import group_by_images
from imbdet.evaluation.metrics import CocoMetrics
from imbdet.evaluation.protocols import CocoProtocol, LvisProtocol
from imbdet.figures.error_types import error_types

# isort: split
from detectron2.data import MetadataCatalog
from detectron2.structures import Boxes, BoxMode, Instances

FOLDER = Path(__file__).parents[1] / "assets" / "lvis"
LIBRARIES = pytest.mark.parametrize("library", ["faster-coco-eval", "pycocotools"])


def read(name):
    return json.loads((FOLDER / name).read_text())


def evaluate(protocol, detections, library="faster-coco-eval", iou_type="bbox"):
    comparison = protocol.compare(protocol.select(detections), iou_type=iou_type, library=library)
    return CocoMetrics.of(comparison, protocol.frequencies())


def ap_of_matches(protocol, detections):
    """AP in percent by class, from our own matching."""
    matches = protocol.match(protocol.select(detections))
    once = np.ones((1, len(matches.images)), np.int32)
    return {
        name: 100 * average_precisions(found, once)[0, 0].mean()
        for name, found in matches.by_class.items()
    }


def nan_for_none(values):
    return {name: math.nan if value is None else value for name, value in values.items()}


@LIBRARIES
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_metrics_are_those_of_lvis(library, iou_type):
    protocol = LvisProtocol(read("annotations.json"))
    metrics = evaluate(protocol, read("detections.json"), library, iou_type)
    expected = read("results.json")[iou_type]
    found = metrics.overall
    assert " ".join(found) == "AP AP50 AP75 APs APm APl APr APc APf AR@300"
    assert found == pytest.approx({name: expected["overall"][name] for name in found}, abs=1e-6)
    per_class = {name: values["AP"] for name, values in metrics.per_class.items()}
    assert per_class == pytest.approx(nan_for_none(expected["per_class"]), abs=1e-6, nan_ok=True)


def test_our_matching_has_the_same_rules():
    found = ap_of_matches(LvisProtocol(read("annotations.json")), read("detections.json"))
    expected = read("results.json")["bbox"]["per_class"]
    assert found == pytest.approx(nan_for_none(expected), abs=1e-6, nan_ok=True)


def make_truth(objects, images):
    """Ground truth of objects (image, category, box) and images (negative, not exhaustive)."""
    return {
        "images": [
            {"id": i, "neg_category_ids": negative, "not_exhaustive_category_ids": unsure}
            for i, (negative, unsure) in images.items()
        ],
        "categories": [{"id": i, "name": f"c{i}", "frequency": "rcf"[i % 3]} for i in range(1, 5)],
        "annotations": [
            {"id": i, "image_id": image_id, "category_id": category_id, "bbox": box}
            for i, (image_id, category_id, box) in enumerate(objects, 1)
        ],
    }


def detection(image_id, category_id, box, score):
    return {"image_id": image_id, "category_id": category_id, "bbox": box, "score": score}


HERE, THERE = [0, 0, 50, 50], [100, 0, 50, 50]


@pytest.mark.parametrize(
    ("image", "precision"),
    [
        (([1], []), 0.5),  # known not to be there: wrong
        (([], []), 1),  # not known
        (([1], [1]), 1),  # more may be there than is annotated
    ],
)
@LIBRARIES
def test_what_is_on_nothing_counts_where_it_is_known_to_be_wrong(image, precision, library):
    truth = make_truth([(1, 1, HERE)], {1: ([], []), 2: image})
    protocol = LvisProtocol(truth)
    detections = [detection(2, 1, THERE, 0.9), detection(1, 1, HERE, 0.8)]
    assert evaluate(protocol, detections, library).overall["AP"] == pytest.approx(100 * precision)
    assert ap_of_matches(protocol, detections)["c1"] == pytest.approx(100 * precision)


def test_the_limit_is_of_all_classes_of_an_image_judged_or_not():
    truth = make_truth([(1, 1, HERE), (2, 1, HERE)], {1: ([], []), 2: ([], [])})
    others = [detection(1, 2, THERE, 0.9) for _ in range(300)]
    found = [detection(1, 1, HERE, 0.8), detection(2, 1, HERE, 0.7)]
    assert select_judged(truth, [*others, *found]) == found[1:]
    assert select_judged(truth, [*others[1:], *found]) == found


@pytest.mark.parametrize("seed", range(6))
def test_libraries_and_matching_agree(seed):
    # Few boxes and scores, so that many are equal.
    rng = np.random.default_rng(seed)

    def draw(*more):
        box = [*(25 * rng.integers(0, 3, 2)).tolist(), 50, 50]
        return int(rng.integers(1, 7)), int(rng.integers(1, 5)), box, *more

    def some(number):
        return rng.choice([1, 2, 3, 4], number, replace=False).tolist()

    images = {i: (some(rng.integers(3)), some(rng.integers(3))) for i in range(1, 7)}
    truth = make_truth([draw() for _ in range(rng.integers(20))], images)
    detections = [detection(*draw(int(rng.integers(11)) / 10)) for _ in range(60)]
    protocol = LvisProtocol(truth)
    fast, slow = (
        evaluate(protocol, detections, library) for library in ("faster-coco-eval", "pycocotools")
    )
    assert fast.overall == pytest.approx(slow.overall, abs=1e-6, nan_ok=True)
    found = {name: values["AP"] for name, values in slow.per_class.items()}
    assert ap_of_matches(protocol, detections) == pytest.approx(found, abs=1e-6, nan_ok=True)


@LIBRARIES
def test_nothing_is_found(library):
    truth = make_truth([(1, 1, HERE)], {1: ([], [])})
    overall = evaluate(LvisProtocol(truth), [], library).overall
    assert (overall["AP"], overall["APc"]) == (0, 0)
    assert "APr" not in overall  # no object of such a class
    assert "APf" not in overall


def test_groups_are_those_of_lvis():
    images = {"none": 0, "a": 1, "b": 10, "c": 11, "d": 100, "e": 101}
    assert "".join(group_by_images(images, (10, 100)).values()) == "rrrccf"
    assert set(group_by_images({"x": 5, "y": 6}, (5, 5)).values()) == {"r", "f"}


def test_groups_of_coco_data_have_means_of_their_classes():
    truth = make_truth([(1, 1, HERE), (1, 2, HERE), (1, 3, HERE)], {1: ([], [])})
    training_images = {"c1": 3, "c2": 5, "c3": 50, "c4": 500, "unknown": 1}
    protocol = CocoProtocol(truth, training_images=training_images)
    detections = [detection(1, 1, HERE, 0.9), detection(1, 3, HERE, 0.9)]
    overall = evaluate(protocol, detections).overall
    assert (overall["APr"], overall["APc"]) == pytest.approx((50, 100))
    assert "APf" not in overall  # "c4" has no objects here
    assert protocol.summary()["frequencies"] == {"c1": "r", "c2": "r", "c3": "c", "c4": "f"}


def test_an_image_with_more_objects_than_detections_is_told():
    objects = [(1, 1, HERE)] * 350
    protocol = LvisProtocol(make_truth(objects, {1: ([], [])}))
    words = protocol.describe_limits(per_image=100)
    assert words.startswith("An image has up to 350 objects, but 100 detections (TEST.DETECTIONS_")
    assert words.endswith("LVIS counts up to 300.")
    words = protocol.describe_limits(per_image=1000)
    assert "300 detections (TEST.DETECTIONS_PER_IMAGE): at most 300 of the 350 objects" in words


@pytest.fixture
def data_set():
    """The made-up data as a data set whose loader names a class otherwise than the file."""
    truth = read("annotations.json")
    ids = [category["id"] for category in truth["categories"]]
    MetadataCatalog.get("made_up").set(
        json_file=str(FOLDER / "annotations.json"),
        evaluator_type="lvis",
        thing_classes=["another word", *(f"class {category_id}" for category_id in ids[1:])],
        thing_dataset_id_to_contiguous_id={category_id: i for i, category_id in enumerate(ids)},
    )
    yield truth
    MetadataCatalog.pop("made_up")


def test_an_evaluation_says_by_which_rules(data_set, tmp_path):
    evaluator = COCOEvaluator("made_up", tmp_path, max_detections=50, detections_per_image=300)
    class_of = MetadataCatalog.get("made_up").thing_dataset_id_to_contiguous_id
    for image in data_set["images"]:
        notes = [note for note in data_set["annotations"] if note["image_id"] == image["id"]]
        boxes = torch.tensor([note["bbox"] for note in notes])
        found = Instances(
            (image["height"], image["width"]),
            pred_boxes=Boxes(BoxMode.convert(boxes, BoxMode.XYWH_ABS, BoxMode.XYXY_ABS)),
            pred_classes=torch.tensor([class_of[note["category_id"]] for note in notes]),
            scores=torch.ones(len(notes)),
        )
        evaluator.process([{"image_id": image["id"]}], [{"instances": found}])
    results = evaluator.evaluate()["bbox"]
    assert [results[name] for name in ("AP", "APr", "APc", "APf")] == pytest.approx([100] * 4)
    assert results["AP-another word"] == pytest.approx(100)
    summary = json.loads((tmp_path / "made_up" / "metrics.json").read_text())
    assert (summary["evaluator_type"], summary["max_detections"]) == ("lvis", 300)
    assert summary["frequencies"]["another word"] == "f"
    assert summary["frequencies"]["class 19"] == "r"


def test_a_comparison_of_runs_has_the_same_rules():
    truth = GroundTruth("made_up", read("annotations.json"), "", "", "lvis")
    assert isinstance(find_protocol([], truth), LvisProtocol)


def test_what_may_be_right_is_no_error():
    images = {1: ([], []), 2: ([1], [1])}
    detections = [detection(2, 1, THERE, 0.9), detection(1, 1, HERE, 0.8)]
    protocol = LvisProtocol(make_truth([(1, 1, HERE), (2, 2, HERE)], images))
    found = error_types({"run": protocol.match(protocol.select(detections))})
    assert found.gains["run"]["background"] == 0
    assert found.ap50["run"] == pytest.approx(50)  # nothing of the other class is found
