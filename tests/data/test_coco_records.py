import copy

import pytest
from detectron2.data import MetadataCatalog
from detectron2.data.datasets import load_coco_json

from imbdet.data import load_dataset
from imbdet.data.coco_records import load_coco_records
from imbdet.errors import UserError


@pytest.fixture
def names():
    """Two names without metadata."""
    yield ("first", "second")
    for name in ("first", "second"):
        MetadataCatalog.pop(name, None)


def test_records_are_those_of_detectron2(toy, names):
    notes = toy.content["annotations"]
    notes[0]["segmentation"] = [[5, 5, 25, 5, 25, 15], [1, 1, 2, 2], [1.5, 1, 9, 1, 9, 9]]
    notes[1]["segmentation"] = {"size": [30, 40], "counts": [100, 50, 1050]}
    notes[2]["segmentation"] = {"size": [30, 40], "counts": "T3b1jP1"}
    notes[3].update(keypoints=[1, 2, 2, 0, 0, 0], segmentation=[])
    del notes[3]["iscrowd"]
    notes.append(toy.annotation(id=9, image_id=999, category_id=3))
    toy.content["images"].reverse()
    toy.content["categories"].reverse()
    toy.save()
    first, second = names
    expected = load_coco_json(str(toy.json_file), "images", first, ["id"])
    found = load_coco_records(
        str(toy.json_file), "images", second, optional=("segmentation", "keypoints")
    )
    assert found == expected
    for key in ("thing_classes", "thing_dataset_id_to_contiguous_id"):
        assert MetadataCatalog.get(second).get(key) == MetadataCatalog.get(first).get(key)

    boxes = copy.deepcopy(expected)
    for record in boxes:
        for note in record["annotations"]:
            note.pop("segmentation", None)
            note.pop("keypoints", None)
    assert load_coco_records(str(toy.json_file), "images", second) == boxes


def test_objects_stay_whatever_their_masks_that_nobody_reads(toy):
    for note in toy.content["annotations"]:
        note["segmentation"] = [[]]  # detectron2 leaves it out
    records = load_dataset(toy.config(), "toy", training=True)
    assert sum(len(record["annotations"]) for record in records) == 5


def test_counts_annotations_of_images_that_are_not_listed(toy, names, log):
    toy.content["annotations"][0]["image_id"] = 999
    toy.save()
    load_coco_records(str(toy.json_file), "images", names[0])
    assert "1 annotation of images that are not listed in it are ignored (first: image_id 999)" in (
        log.text
    )


def test_refuses_other_classes_than_a_name_stands_for(toy, names):
    MetadataCatalog.get("first").thing_classes = ["cat", "cow"]
    toy.save()
    words = "other categories than 'first': that of id 7 is 'dog', not 'cow'. Give data of your own"
    with pytest.raises(UserError, match=words):
        load_coco_records(str(toy.json_file), "images", "first")
