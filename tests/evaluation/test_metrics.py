import copy
import math

import numpy as np
import pycocotools.mask
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from imbdet.errors import UserError
from imbdet.evaluation.comparison import check_library
from imbdet.evaluation.tables import format_overall, format_per_class
from tests.coco_metrics import compute_coco_metrics
from tests.evaluation.conftest import SAMPLE_FILE, imperfect_detections

LIBRARIES = ("faster-coco-eval", "pycocotools")


def compute(ground_truth, detections, library="faster-coco-eval", iou_type="bbox"):
    return compute_coco_metrics(ground_truth, detections, iou_type=iou_type, library=library)


def make_ground_truth(*annotations, image_ids=(1,), categories=((1, "cat"),)):
    return {
        "images": [{"id": i, "width": 640, "height": 480} for i in image_ids],
        "categories": [{"id": i, "name": name} for i, name in categories],
        "annotations": [
            {"id": i, "image_id": image_ids[0], "category_id": categories[0][0], **annotation}
            for i, annotation in enumerate(annotations)
        ],
    }


def detection(box, score, image_id=1, category_id=1):
    return {"image_id": image_id, "category_id": category_id, "bbox": box, "score": score}


@pytest.mark.parametrize("decimals", [None, 1])
@pytest.mark.parametrize("seed", [0, 1])
def test_libraries_agree_on_real_annotations(sample, seed, decimals):
    detections = imperfect_detections(sample, seed, decimals)
    fast, reference = (compute(sample, detections, library) for library in LIBRARIES)
    assert 5 < reference.overall["AP"] < 60
    assert fast.flatten() == pytest.approx(reference.flatten(), abs=1e-6, nan_ok=True)
    assert fast.per_class.keys() == reference.per_class.keys()


def test_numbers_are_those_of_pycocotools_alone(sample):
    detections = imperfect_detections(sample, seed=2, decimals=1)
    reference = COCO(SAMPLE_FILE)
    evaluation = COCOeval(reference, reference.loadRes(copy.deepcopy(detections)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    overall = compute(sample, detections).overall
    assert list(overall.values()) == pytest.approx(100 * evaluation.stats[:9], abs=1e-6)


@pytest.mark.parametrize("library", LIBRARIES)
def test_values_computed_by_hand(library):
    ground_truth = make_ground_truth({"bbox": [0, 0, 100, 100]}, {"bbox": [200, 0, 100, 100]})
    detections = [
        detection([0, 0, 100, 100], 0.9),  # found exactly
        detection([500, 400, 10, 10], 0.8),  # on nothing
        detection([200, 0, 100, 62], 0.7),  # found with IoU 0.62: at 3 of the 10 thresholds
    ]
    overall = compute(ground_truth, detections, library).overall
    # Precision 1 up to recall 0.5 (51 of 101 points), then 2/3 where the third counts, else 0.
    loose, strict = (51 + 50 * 2 / 3) / 1.01, 51 / 1.01
    # Among large objects the small box on nothing does not count: precision 1 up to recall 1.
    assert overall == pytest.approx(
        {
            "AP": 0.3 * loose + 0.7 * strict,
            "AP50": loose,
            "AP75": strict,
            "APs": math.nan,
            "APm": math.nan,
            "APl": 0.3 * 100 + 0.7 * strict,
            "AR@1": 50,
            "AR@10": 0.3 * 100 + 0.7 * 50,
            "AR@100": 0.3 * 100 + 0.7 * 50,
        },
        nan_ok=True,
    )


@pytest.mark.parametrize("library", LIBRARIES)
def test_crowds_are_neither_missed_nor_found(library):
    ground_truth = make_ground_truth(
        {"bbox": [0, 0, 50, 50]}, {"bbox": [100, 0, 400, 400], "iscrowd": 1}
    )
    within_crowd = [detection([120, 20 * i, 60, 60], 0.9) for i in range(5)]
    metrics = compute(ground_truth, [*within_crowd, detection([0, 0, 50, 50], 0.5)], library)
    assert metrics.overall["AP"] == pytest.approx(100)
    assert metrics.per_class["cat"]["objects"] == 1


@pytest.mark.parametrize("library", LIBRARIES)
def test_classes_without_objects_are_nan(library):
    ground_truth = make_ground_truth(
        {"bbox": [0, 0, 50, 50]},
        {"bbox": [0, 0, 50, 50], "category_id": 9, "iscrowd": 1},
        categories=((1, "cat"), (5, "dog"), (9, "sheep")),
    )
    flat = compute(ground_truth, [detection([0, 0, 50, 50], 0.5)], library).flatten()
    for key in ("AP", "AP-cat", "AP50-cat"):
        assert flat[key] == pytest.approx(100)
    for key in ("AP-dog", "AP50-dog", "AP-sheep", "AP50-sheep"):
        assert math.isnan(flat[key])


@pytest.mark.parametrize("library", LIBRARIES)
def test_no_detections(sample, library):
    metrics = compute(sample, [], library)
    assert set(metrics.overall.values()) == {0}
    assert metrics.per_class["person"]["AP"] == 0


@pytest.mark.parametrize("library", LIBRARIES)
def test_any_ids_and_stray_annotations(library):
    # Annotation ids start at 0, and the last annotation is of an image that is not listed.
    ground_truth = make_ground_truth(
        {"bbox": [0, 0, 50, 50]},
        {"bbox": [0, 0, 50, 50], "image_id": "nowhere"},
        image_ids=("b.jpg", "a.jpg"),
        categories=((40, "cat"), (7, "dog")),
    )
    found = detection([0, 0, 50, 50], 0.5, image_id="b.jpg", category_id=40)
    metrics = compute(ground_truth, [found], library)
    assert metrics.flatten()["AP-cat"] == pytest.approx(100)
    assert list(metrics.per_class) == ["dog", "cat"]  # by id


@pytest.mark.parametrize("library", LIBRARIES)
def test_at_most_100_detections_count(library):
    ground_truth = make_ground_truth({"bbox": [0, 0, 50, 50]})
    before = [detection([300, 300, 20, 20], 0.9) for _ in range(99)]
    found = detection([0, 0, 50, 50], 0.5)
    assert compute(ground_truth, [*before, found], library).overall["AR@100"] == pytest.approx(100)
    assert compute(ground_truth, [*before, before[0], found], library).overall["AR@100"] == 0


@pytest.mark.parametrize("library", LIBRARIES)
def test_input_is_left_as_it_is_and_nothing_is_printed(sample, library, capfd):
    detections = imperfect_detections(sample, seed=0)
    copies = copy.deepcopy((sample, detections))
    compute(sample, detections, library)
    assert (sample, detections) == copies
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("library", LIBRARIES)
def test_masks(library):
    polygon = [[0, 0, 100, 0, 100, 60, 0, 60]]
    ground_truth = make_ground_truth({"bbox": [0, 0, 100, 100], "segmentation": polygon})
    mask = np.zeros((480, 640), dtype=np.uint8, order="F")
    mask[:100, :100] = 1
    run_lengths = pycocotools.mask.encode(mask)
    run_lengths["counts"] = run_lengths["counts"].decode()
    found = {**detection([0, 0, 100, 100], 0.5), "segmentation": run_lengths}
    assert compute(ground_truth, [found], library, "bbox").overall["AP"] == pytest.approx(100)
    # The IoU of the masks is 0.6.
    masks = compute(ground_truth, [found], library, "segm").overall
    assert (masks["AP50"], masks["AP75"]) == (pytest.approx(100), 0)


def test_refuses_an_unknown_library():
    with pytest.raises(UserError, match=r"TEST\.COCO_LIBRARY is 'pycoco'.*'pycocotools'"):
        check_library("pycoco")
    with pytest.raises(UserError, match="There are: faster-coco-eval, pycocotools"):
        check_library("?")


def test_tables(sample):
    metrics = compute(sample, imperfect_detections(sample, seed=0))
    header, _, values = format_overall(metrics).splitlines()
    assert header.split()[1::2] == list(metrics.overall)
    assert f"{metrics.overall['AP']:.2f}" in values

    lines = format_per_class(metrics).splitlines()
    assert len(lines) == 2 + math.ceil(80 / 3)
    cells = [cell.strip() for cell in lines[2].split("|")[1:-1]]
    names = list(metrics.per_class)
    assert cells[::4] == [names[0], names[27], names[54]]
    assert cells[1] == str(metrics.per_class["person"]["objects"])
    absent = next(name for name, values in metrics.per_class.items() if not values["objects"])
    assert any(f"{absent} " in line and " - " in line for line in lines)


def test_table_of_few_classes_is_one_block():
    ground_truth = make_ground_truth(categories=((1, "1e5"), (2, "dog")))
    lines = format_per_class(compute(ground_truth, [])).splitlines()
    assert [line.replace(" ", "") for line in (lines[0], *lines[2:])] == [
        "|class|objects|AP|AP50|",
        "|1e5|0|-|-|",
        "|dog|0|-|-|",
    ]
