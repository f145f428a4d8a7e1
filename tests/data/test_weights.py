"""Weights of classes, objects and images, on their way from the file to the detector."""

import copy

import numpy as np
import pytest
import torch

from imbdet.config import load_config
from imbdet.data import build_train_loader, load_dataset
from imbdet.data.augmentation import build_train_mapper
from imbdet.data.weights import class_weights, weigh_records
from imbdet.errors import UserError
from imbdet.losses import class_balanced_weights
from imbdet.modeling import GroundTruth
from tests.data.test_augmentation import make_cfg, make_record, mapped

CLASSES = ["cat", "dog", "cow"]


def config(*opts):
    return load_config(opts=opts)


def records_of(*notes, **image):
    return [{"file_name": "a.png", "annotations": list(notes), **image}]


def note(category_id=0, **fields):
    return {"category_id": category_id, "iscrowd": 0, "bbox": [0, 0, 9, 9], "id": 7, **fields}


@pytest.mark.parametrize(
    ("rule", "powers"), [("inverse", -1), ("sqrt_inverse", -0.5)], ids=["inverse", "root"]
)
def test_rules_weigh_classes_by_their_numbers_with_the_mean_1_over_objects(rule, powers):
    counts = np.array([400.0, 100, 4])
    weights = np.array(class_weights(config("MODEL.CLASS_WEIGHTS", rule), [400, 100, 4], CLASSES))
    np.testing.assert_allclose(weights / weights[0], (counts / counts[0]) ** powers)
    assert (weights * counts).sum() / counts.sum() == pytest.approx(1)


def test_effective_numbers_are_those_of_their_function():
    cfg = config("MODEL.CLASS_WEIGHTS", "effective_number", "MODEL.CLASS_WEIGHTS_BETA", "0.99")
    weights = torch.tensor(class_weights(cfg, [400, 100, 4], CLASSES), dtype=torch.float64)
    expected = class_balanced_weights(torch.tensor([400.0, 100, 4]).double(), beta=0.99)
    torch.testing.assert_close(weights / weights[0], expected / expected[0])


def test_a_class_without_objects_is_told_and_changes_nothing(log):
    cfg = config("MODEL.CLASS_WEIGHTS", "inverse")
    assert class_weights(cfg, [400, 0, 100], CLASSES) == pytest.approx([0.625, 1, 2.5])
    assert "1 class of the training data, 'dog' first, has no object" in log.text


@pytest.mark.parametrize(
    "written", ["{dog: 2.0, cow: 0}", "{'dog': 2.0, 'cow': 0}", "[{dog: 2.0, cow: 0}]"]
)
def test_numbers_by_name_leave_the_other_classes_at_1(written):
    assert class_weights(config("MODEL.CLASS_WEIGHTS", written), [1, 1, 1], CLASSES) == [1, 2, 0]


def test_a_file_may_hold_names_or_a_rule(tmp_path):
    for text, expected in (("{cat: 3, t.v.: 0.5}", [3, 0.5]), ("inverse", [0.75, 1.5])):
        path = tmp_path / "config.yaml"
        path.write_text(f"MODEL:\n  CLASS_WEIGHTS: {text}\n")
        weights = class_weights(load_config(str(path)), [2, 1], ["cat", "t.v."])
        assert weights == pytest.approx(expected)
        # A training writes the config in this form, and a resumed one reads it.
        path.write_text(load_config(str(path)).dump())
        assert class_weights(load_config(str(path)), [2, 1], ["cat", "t.v."]) == weights


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{dgo: 2.0}", "names a class 'dgo' that the training data do not have. Did you mean 'dog"),
        ("{dog: -1}", "gives 'dog' the weight -1: it must be a number of at least 0"),
        ("{dog: .nan}", "gives 'dog' the weight nan: it must be"),
        ("{dog: much}", "gives 'dog' the weight 'much': it must be"),
        ("invers", "Did you mean 'inverse'"),
        ("3", "It can be one of 'inverse', 'sqrt_inverse', 'effective_number', or numbers by the"),
        ("[inverse, sqrt_inverse]", "It can be one of"),
    ],
)
def test_another_form_is_refused(written, message):
    with pytest.raises(UserError) as caught:
        class_weights(config("MODEL.CLASS_WEIGHTS", written), [1, 1, 1], CLASSES)
    assert "MODEL.CLASS_WEIGHTS" in str(caught.value)
    assert message in str(caught.value)


def test_an_object_weighs_what_its_annotation_and_its_class_say():
    records = records_of(note(0, weight=0.5), note(1, weight=2), note(1), note(2, iscrowd=1))
    before = copy.deepcopy(records)
    (weighted,) = weigh_records(records, [1.0, 3.0, 9.0])
    assert [each.get("weight") for each in weighted["annotations"]] == [0.5, 6, 3, None]
    assert weighted["weight"] == 1
    assert records == before


def test_without_weights_records_stay_as_they_are():
    records = records_of(note(), note(1, weight=1), weight=1.0)
    assert weigh_records(records, [1.0, 1.0])[0] is records[0]


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), "2", True, None])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(UserError, match=r"weight .*at least 0.*annotation 7 in 'a.png'"):
        weigh_records(records_of(note(weight=weight)), [1.0])
    with pytest.raises(UserError, match=r"Image 'a.png' has the weight .*at least 0"):
        weigh_records(records_of(note(), weight=weight), [1.0])


def test_an_ignored_object_has_no_weight():
    with pytest.raises(UserError, match=r"annotation 7 in 'a.png'. Remove 'weight' or 'ignore'"):
        weigh_records(records_of(note(ignore=1, iscrowd=1, weight=2.0)), [1.0])


def test_a_file_brings_weights_and_ignored_objects_to_the_detector(toy, log):
    toy.content["annotations"][0]["weight"] = 3.0
    toy.content["annotations"][1]["ignore"] = 1
    toy.content["images"][0]["weight"] = 0.5
    cfg = toy.config("MODEL.CLASS_WEIGHTS", [{"dog": 2.0}], "SOLVER.IMS_PER_BATCH", 1)
    batches = iter(build_train_loader(cfg))
    seen = {image["image_id"]: image["instances"] for (image,) in (next(batches) for _ in range(6))}
    assert {key: own.gt_weights.tolist() for key, own in seen.items()} == {
        10: [6.0],
        20: [2.0],
        30: [2.0],
    }
    assert {key: own.image_weight for key, own in seen.items()} == {10: 0.5, 20: 1.0, 30: 1.0}
    # The crowd of image 30 is none, as the key for crowds is not set.
    assert {key: len(own.regions) for key, own in seen.items()} == {10: 1, 20: 0, 30: 0}
    assert "Weights of the losses: of objects from 2 to 6, of images from 0.5 to 1." in log.text


def test_crowds_are_ignored_by_key(tmp_path):
    record = make_record(tmp_path, [(5, 5, 45, 35), (0, 0, 20, 10)])
    record["annotations"][1]["iscrowd"] = 1
    plain = mapped(build_train_mapper(make_cfg()), record, 0)["instances"]
    assert not isinstance(plain, GroundTruth)
    mapper = build_train_mapper(
        make_cfg("DATASETS.IGNORED.CROWDS", True, "DATASETS.IGNORED.MIN_OVERLAP", 0.75)
    )
    known = mapped(mapper, record, 0)["instances"]
    assert known.min_overlap == 0.75
    assert len(known.regions) == len(known) == 1
    torch.testing.assert_close(known.gt_boxes.tensor, plain.gt_boxes.tensor)
    moved = known.to("cpu")
    assert moved.min_overlap == 0.75
    torch.testing.assert_close(moved.regions.tensor, known.regions.tensor)


@pytest.mark.parametrize("augmentation", ["", "ssd"])
def test_weights_and_regions_follow_the_augmentation(tmp_path, augmentation):
    boxes = [(5, 5, 45, 35), (0, 0, 20, 10), (30, 20, 60, 40), (2, 2, 9, 30)]
    record = make_record(tmp_path, boxes)
    record["weight"] = 0.25
    for index, each in enumerate(record["annotations"]):
        each.update(weight=float(index + 1), category_id=index % 3)
    record["annotations"][3].update(iscrowd=1, ignore=1)
    mapper = build_train_mapper(make_cfg("INPUT.AUGMENTATION", augmentation))
    numbers, regions = set(), set()
    for seed in range(30):
        instances = mapped(mapper, record, seed)["instances"]
        # The class says which object it is.
        torch.testing.assert_close(instances.gt_weights, instances.gt_classes + 1.0)
        assert instances.image_weight == 0.25
        numbers.add(len(instances))
        regions.add(len(instances.regions))
    assert regions == ({1} if augmentation == "" else {0, 1})
    assert max(numbers) == 3


def test_an_ignored_object_is_a_crowd_to_an_evaluation(toy):
    toy.content["annotations"][1]["ignore"] = 1
    records = load_dataset(toy.config(), "toy")
    notes = [note for record in records for note in record["annotations"]]
    assert [note["id"] for note in notes if note["iscrowd"]] == [2, 5]
