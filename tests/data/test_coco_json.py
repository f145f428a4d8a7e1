import re

import pytest

from imbdet.data import load_dataset
from imbdet.errors import UserError
from imbdet.formats.coco_json import check_coco_json


def test_accepts_what_detectron2_accepts(toy):
    stray = toy.annotation(id=9, image_id=999, category_id=999)  # ignored with its image
    toy.content["annotations"].append(stray)
    toy.content["images"][0]["width"] = 40.0
    toy.save()
    check_coco_json(str(toy.json_file))


def test_refuses_a_missing_file(toy):
    with pytest.raises(UserError, match=f"no annotation file '{toy.json_file}'. Look there."):
        check_coco_json(str(toy.json_file), if_missing="Look there.")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not JSON, or not all of it: Expecting value: line 1 column 1"),
        (b'{"images": [],\n "annot', ".* line 2 column 2 .*; it ends after 22 bytes"),
        (b"\x89PNG", "not text: byte 0 is not UTF-8"),
    ],
)
def test_refuses_what_is_not_json(toy, data, words):
    toy.json_file.write_bytes(data)
    with pytest.raises(UserError, match=f"'{toy.json_file}' is {words}"):
        check_coco_json(str(toy.json_file))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda c: c.pop("categories"), "'categories' is missing among its keys ['images',"),
        (lambda c: c.update(images={}), "'images' is not a list"),
        (lambda c: c["categories"].clear(), "'categories' is empty"),
        (lambda c: c["images"].append("5.png"), "images[4] is '5.png', not an object"),
        (lambda c: c["images"][1].pop("width"), "images[1] (id 20) has no 'width'"),
        (lambda c: c["images"][1].update(height="30"), "has height '30', not a number"),
        (lambda c: c["categories"][0].pop("name"), "categories[0] (id 3) has no 'name'"),
        (lambda c: c["annotations"][2].pop("bbox"), "annotations[2] (id 3) has no 'bbox'"),
        (lambda c: c["annotations"][2].update(bbox=[]), "has bbox [], not a list of four numbers"),
        (lambda c: c["annotations"][2].update(bbox=None), "has bbox None"),
        (lambda c: c["annotations"][2].pop("id"), "annotations[2] (id None) has no 'id'"),
        (lambda c: c["images"][2].update(id=10), "id 10 occurs 2 times in 'images'."),
        (
            lambda c: [note.update(id=note["id"] % 2) for note in c["annotations"]],
            "id 1 occurs 3 times in 'annotations' (the first of 2)",
        ),
        (lambda c: c["categories"][0].update(name="dog"), "name 'dog' occurs 2 times in 'categor"),
        (
            lambda c: [note.update(image_id=str(note["image_id"])) for note in c["annotations"]],
            "none of its annotations belongs to one of its images: the first has image_id '10', "
            "the first image id 10",
        ),
        (lambda c: c["annotations"][0].update(iscrowd="0"), "annotation 1 has iscrowd '0', neith"),
        (lambda c: c["annotations"][0].update(iscrowd=None), "annotation 1 has iscrowd None"),
        (
            lambda c: [note.update(category_id=8) for note in c["annotations"][1:3]],
            "category_id 8 of annotation 2 is not in 'categories' (the first of 2)",
        ),
        (
            lambda c: c["annotations"][3].update(ignore=1),
            "annotation 4 has 'ignore' set, which detectron2 does not know",
        ),
    ],
)
def test_names_the_record(toy, damage, words):
    damage(toy.content)
    cfg = toy.config()
    message = f"Annotation file '{toy.json_file}' is not in COCO format: .*{re.escape(words)}"
    with pytest.raises(UserError, match=message):
        load_dataset(cfg, "toy")


def test_refuses_a_file_of_detections(toy):
    toy.content = [{"image_id": 10, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5}]
    cfg = toy.config()
    with pytest.raises(UserError, match="it is a list, not an object with images, categories"):
        load_dataset(cfg, "toy")
