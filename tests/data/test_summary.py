"""The summary that a run keeps of its data: classes and annotations."""

import copy
import json

import pytest

from imbdet.data import build_train_loader, load_dataset, register_datasets
from imbdet.data.objects import classes_of
from imbdet.data.summary import (
    Annotations,
    DataSummary,
    find_difference,
    require_classes,
    summarize,
    summarize_content,
)
from imbdet.formats.coco_json import read_coco_json
from imbdet.losses import ClassFrequencies
from tests.messages import assert_says, error_of


@pytest.fixture
def records(toy):
    cfg = toy.config()
    register_datasets(cfg)
    return load_dataset(cfg, "toy", training=True)


def test_knows_classes_ids_and_annotations(records):
    summary = DataSummary.of({"toy": records}, ClassFrequencies.of(map(classes_of, records), 2))
    assert (summary.classes, summary.category_ids) == (["cat", "dog"], [3, 7])
    assert summary.training_images == {"cat": 1, "dog": 3}  # without the crowd
    assert str(summary.annotations["toy"]) == "4 images with 5 boxes"
    assert DataSummary.parse(json.loads(json.dumps(summary.state()))) == summary


def test_ids_of_categories_may_be_written_with_a_point(toy):
    """As pandas writes a column of whole numbers that had a gap."""
    for note in toy.content["annotations"]:
        note["category_id"] = float(note["category_id"])
    for category in toy.content["categories"]:
        category["id"] = float(category["id"])
    summary = build_train_loader(toy.config()).summary
    assert summary.training_images == {"cat": 1, "dog": 3}
    assert DataSummary.parse(json.loads(json.dumps(summary.state()))) == summary
    content = read_coco_json(str(toy.json_file))
    written = [(note["category_id"], type(note["category_id"])) for note in content["annotations"]]
    assert written == [(7, int), (3, int), (7, int), (7, int), (3, int)]


def test_earlier_versions_did_not_count_images():
    summary = DataSummary.parse({"classes": ["a"], "category_ids": [1], "annotations": {}})
    assert summary.training_images == {}


CHANGES = {
    "a box": lambda records: records[0]["annotations"][0]["bbox"].__setitem__(2, 19.5),
    "a class": lambda records: records[1]["annotations"][0].update(category_id=0),
    "a crowd": lambda records: records[0]["annotations"][0].update(iscrowd=1),
    "an image": lambda records: records[0].update(file_name="/x/other.png"),
    "an order": lambda records: records.reverse(),
    "an object less": lambda records: records[0]["annotations"].pop(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_fingerprint_tells_other_annotations(change, records):
    changed = copy.deepcopy(records)
    change(changed)
    assert summarize(changed) != summarize(records)


def test_a_fingerprint_is_the_same_elsewhere(records, toy):
    moved = copy.deepcopy(records)
    for record in moved:
        record["file_name"] = record["file_name"].replace(str(toy.folder), "/elsewhere")
    assert summarize(moved) == summarize(records)
    content = copy.deepcopy(toy.content)
    before = summarize_content(content)
    content["annotations"].reverse()
    content["annotations"].sort(key=lambda note: -note["image_id"])  # those of an image in order
    content["info"] = {"date": "today"}
    assert summarize_content({**toy.content, "info": {}}) == before
    assert summarize_content(content) != before  # here they are not


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        {"classes": ["a"]},
        {"classes": [1], "category_ids": [1], "annotations": {}},
        {"classes": ["a"], "category_ids": [1, 2], "annotations": {}},
        {"classes": ["a"], "category_ids": [1], "annotations": {"x": 3}},
        {"classes": ["a"], "category_ids": [1], "annotations": {}, "images_of_class": [1, 2]},
        {"classes": ["a"], "category_ids": [1], "annotations": {}, "images_of_class": ["1"]},
        {"classes": ["a"], "category_ids": [1], "annotations": {}, "images_of_class": 1},
        {"classes": ["a"], "category_ids": [1], "annotations": {"x": {"boxes": 1}}},
    ],
)
def test_what_is_no_summary_says_nothing(state):
    assert DataSummary.parse(state) is None


def test_the_first_class_that_differs_is_named():
    assert find_difference(["a", "b"], ["a", "b"]) == ""
    assert find_difference(["a", "b", "c"], ["a", "c", "b"]) == "class 1 was 'b' and is 'c'"
    assert find_difference(["a", "b"], ["a"]) == "class 1 was 'b' and is nothing"


def test_data_may_lack_the_last_classes(records):
    require_classes(["cat", "dog", "cow"], "toy", "They")
    require_classes(["cat"], "toy", "They")
    message = error_of(require_classes, ["dog", "cat"], "toy", "The weights in 'x'")
    assert_says(message, "The weights in 'x' learned other classes than those of 'toy'")
    assert_says(message, "class 0 was 'dog' and is 'cat'", "('dog', 'cat')")


def test_other_annotations_of_the_same_name_are_told(caplog):
    def summary(**annotations):
        return DataSummary(["a"], [1], annotations)

    before = summary(x=Annotations(1, 2, "f"), y=Annotations(3, 4, "g"), z=Annotations(1, 1, "h"))
    before.warn_of_changes(before)
    assert caplog.text == ""
    before.warn_of_changes(summary(x=Annotations(1, 3, "i"), y=Annotations(3, 4, "j")))
    assert_says(
        caplog.text,
        "'x' had 1 image with 2 boxes and has 1 image with 3 boxes",
        "'y' had 3 images with 4 boxes and has 3 images with 4 boxes, others or in another order",
    )
