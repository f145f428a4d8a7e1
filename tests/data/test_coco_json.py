import os
import re

import pycocotools.mask
import pytest

from imbdet.data import load_dataset
from imbdet.errors import UserError
from imbdet.formats.coco_boxes import fill_areas
from imbdet.formats.coco_json import read_coco_json


def test_accepts_what_detectron2_accepts(toy):
    stray = toy.annotation(id=9, image_id=999, category_id=999)  # ignored with its image
    toy.content["annotations"].append(stray)
    toy.content["images"][0]["width"] = 40.0
    toy.save()
    read_coco_json(str(toy.json_file))
    del toy.content["annotations"]  # as in COCO's lists of test images
    toy.save()
    assert read_coco_json(str(toy.json_file))["annotations"] == []


def test_refuses_a_missing_file(toy):
    with pytest.raises(UserError, match=f"no annotation file '{toy.json_file}'. Look there."):
        read_coco_json(str(toy.json_file), if_missing="Look there.")


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
        read_coco_json(str(toy.json_file))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "it is nested too deep"),
        (f'{{"images": {"9" * 5000}}}', "it has a number of thousands of digits"),
    ],
)
def test_refuses_json_that_python_cannot_read(toy, text, words):
    toy.json_file.write_text(text)
    with pytest.raises(UserError, match=f"'{toy.json_file}' cannot be read: {words}"):
        read_coco_json(str(toy.json_file))


def test_refuses_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="cannot be read: it is a device or a pipe, not a file"):
        read_coco_json(str(tmp_path / "pipe"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda c: c.pop("categories"), "'categories' is missing among its keys ['images',"),
        (lambda c: c.update(images={}), "'images' is not a list"),
        (lambda c: c["categories"].clear(), "'categories' is empty"),
        (lambda c: c["images"].append("5.png"), "images[4] is '5.png', not an object"),
        (lambda c: c["images"][1].pop("width"), "images[1] (id 20) has no 'width'"),
        (lambda c: c["images"][1].update(height="30"), "has height '30', not a whole number of"),
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
            lambda c: c["annotations"][3].update(ignore="yes"),
            "annotation 4 has ignore 'yes', neither 0 nor 1",
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


NUMBERS_THAT_ARE_NONE = [None, "", "30", float("nan"), float("inf"), True, [], {}]


@pytest.mark.parametrize("value", [*NUMBERS_THAT_ARE_NONE, 0, -30, 0.0, 30.5, 10**30])
@pytest.mark.parametrize("side", ["width", "height"])
def test_refuses_sizes_that_cannot_be(toy, side, value):
    toy.content["images"][1][side] = value
    toy.save()
    words = rf"images\[1\] \(id 20\) has {side} .*, not a whole number of pixels above 0"
    with pytest.raises(UserError, match=words):
        read_coco_json(str(toy.json_file))


@pytest.mark.parametrize("value", [None, float("nan"), -float("inf"), True, [], {}, 2**63, 1.5])
@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("images", "id"),
        ("categories", "id"),
        ("annotations", "id"),
        ("annotations", "image_id"),
        ("annotations", "category_id"),
    ],
)
def test_refuses_ids_that_cannot_be(toy, name, field, value):
    toy.content[name][1][field] = value
    toy.save()
    words = rf"{name}\[1\] \(id .*\) has {field} .*, not a whole number of at most 64 bits"
    with pytest.raises(UserError, match=words):
        read_coco_json(str(toy.json_file))


@pytest.mark.parametrize(("name", "field"), [("categories", "id"), ("annotations", "category_id")])
def test_refuses_categories_by_text(toy, name, field):
    """They are refused even where all are texts: COCO's evaluation, hours later, would fail."""
    for record in toy.content[name]:
        record[field] = str(record[field])
    toy.save()
    with pytest.raises(UserError, match=rf"{name}\[0\] .* has {field} '\d+', not a whole number"):
        read_coco_json(str(toy.json_file))


@pytest.mark.parametrize(("name", "field"), [("images", "id"), ("annotations", "image_id")])
def test_refuses_ids_of_two_kinds(toy, name, field):
    toy.content[name][1][field] = "ten"
    toy.save()
    words = rf"{name}\[0\] .* has {field} 10, a number, but {name}\[1\] .* 'ten', a text: write"
    with pytest.raises(UserError, match=words):
        read_coco_json(str(toy.json_file))


@pytest.mark.parametrize("value", ["", None, 3, "a\0.png", "\ud800.png"])
def test_refuses_names_that_no_file_has(toy, value):
    toy.content["images"][1]["file_name"] = value
    toy.save()
    with pytest.raises(UserError, match=r"images\[1\] .*has file_name .*, not the name of a file"):
        read_coco_json(str(toy.json_file))


def test_takes_whole_numbers_however_they_are_written(toy):
    toy.content["images"][0].update(width=40.0, height=30.0)
    toy.save()
    image = read_coco_json(str(toy.json_file))["images"][0]
    assert [(type(image[side]), image[side]) for side in ("width", "height")] == [
        (int, 40),
        (int, 30),
    ]


def compressed(counts, size=(30, 40)):
    runs = pycocotools.mask.frPyObjects({"size": list(size), "counts": counts}, *size)
    return {"size": list(size), "counts": runs["counts"].decode()}


TRIANGLE = [5, 5, 25, 5, 25, 15]
BAD_MASKS = [
    ("polygons", "'polygons', neither polygons nor run lengths"),
    (float("nan"), "nan, neither"),
    (True, "True, neither"),
    (TRIANGLE, "that is a list of numbers; put each polygon into a list of its own"),
    ([TRIANGLE, 5], "whose polygon 1 is 5, not a list of numbers"),
    ([TRIANGLE, None], "whose polygon 1 is None"),
    ([TRIANGLE, {"x": 5}], "whose polygon 1 is {'x': 5}"),
    ([TRIANGLE, [*TRIANGLE, 3]], "whose polygon 1 has 7 numbers, so that one has no x or no y"),
    ([[5]], "whose polygon 0 has 1 numbers"),
    *[
        ([[5, 5, 25, value, 25, 15]], "whose polygon 0 has an entry that is no number of pixels")
        for value in (None, "5", float("nan"), float("inf"), True, [5], 10**9, -(10**9), 10**400)
    ],
    ({"size": [30, 40]}, "in run lengths without 'counts'"),
    ({"counts": [1200]}, "in run lengths without 'size'"),
    ({"size": [40, 30], "counts": [1200]}, "of size [40, 30], another than [height, width] of"),
    ({"size": None, "counts": [1200]}, "of size None, another"),
    ({"size": [30], "counts": [1200]}, "of size [30], another"),
    ({"size": [30.0, 40.0], "counts": [1200]}, "of size [30.0, 40.0], another"),
    ({"size": [30, 40], "counts": [1100, 99]}, "whose run lengths sum to 1199, not to the 1200"),
    ({"size": [30, 40], "counts": [1100, 101]}, "whose run lengths sum to 1201"),
    ({"size": [30, 40], "counts": []}, "whose run lengths sum to 0"),
    ({"size": [30, 40], "counts": [[0, 5], [7, 2]]}, "whose counts[0] is [0, 5], not a number"),
    ({"size": [30, 40], "counts": [1300, -100]}, "whose counts[1] is -100"),
    ({"size": [30, 40], "counts": [1200.0]}, "whose counts[0] is 1200.0"),
    ({"size": [30, 40], "counts": [float("nan")]}, "whose counts[0] is nan"),
    ({"size": [30, 40], "counts": [None]}, "whose counts[0] is None"),
    ({"size": [30, 40], "counts": None}, "whose counts are None, neither a list nor a text"),
    ({"size": [30, 40], "counts": 1200}, "whose counts are 1200"),
    ({"size": [30, 40], "counts": ""}, "whose counts '' are not run lengths as COCO writes"),
    ({"size": [30, 40], "counts": "0 5 7 2"}, "whose counts '0 5 7 2' are not"),
    ({"size": [30, 40], "counts": "é"}, "whose counts 'é' are not"),
    ({"size": [30, 40], "counts": "o" * 1000}, "whose counts 'ooo"),
    ({"size": [30, 40], "counts": "n"}, "whose counts 'n' are not"),  # a number that does not end
    ({"size": [30, 40], "counts": "O"}, "whose counts 'O' are not"),  # below 0
    (compressed([10, 5, 7, 3], (5, 5)) | {"size": [30, 40]}, "whose run lengths sum to 25, not"),
]


@pytest.mark.parametrize(("mask", "words"), BAD_MASKS)
def test_a_mask_is_refused_where_it_is_read_alone(toy, mask, words):
    toy.content["annotations"][1]["segmentation"] = mask
    cfg = toy.config()
    assert [len(record["annotations"]) for record in load_dataset(cfg, "toy")] == [2, 1, 2, 0]

    message = rf"annotations\[1\] \(id 2\) has a segmentation {re.escape(words)}"
    with pytest.raises(UserError, match=f"{message}.*or set MODEL.MASK_ON to False"):
        load_dataset(toy.config("MODEL.MASK_ON", True), "toy")


@pytest.mark.parametrize(
    "counts", [[1200], [0, 1200], [3, 100, 1000, 2, 95], [1, 1] * 600, [700, 0, 499, 1]]
)
def test_takes_run_lengths_that_fill_the_image(toy, counts):
    notes = toy.content["annotations"]
    notes[0]["segmentation"] = {"size": [30, 40], "counts": counts}
    notes[1]["segmentation"] = compressed(counts)
    toy.save()
    read_coco_json(str(toy.json_file), optional=("segmentation",))


@pytest.mark.parametrize("keypoints", [[1, 2], "1 2 2", [1, None, 2], [1, float("nan"), 2], 3])
def test_keypoints_are_refused_where_they_are_read_alone(toy, keypoints):
    toy.content["annotations"][1]["keypoints"] = keypoints
    toy.save()
    read_coco_json(str(toy.json_file))
    words = r"annotations\[1\] .* has a keypoints entry .*set MODEL.KEYPOINT_ON to False"
    with pytest.raises(UserError, match=words):
        read_coco_json(str(toy.json_file), optional=("keypoints",))


@pytest.mark.parametrize("area", [*NUMBERS_THAT_ARE_NONE, 0, -1, -float("inf"), "missing"])
def test_an_area_that_cannot_be_is_that_of_the_box(toy, area):
    toy.content["annotations"][1]["area"] = area
    if area == "missing":
        del toy.content["annotations"][1]["area"]
    toy.save()
    content = read_coco_json(str(toy.json_file))
    count, first = fill_areas(content)
    assert content["annotations"][1]["area"] == 200
    assert count == (area != "missing")
    assert first.endswith("of annotation 2") == (area != "missing")


def test_names_of_classes_have_one_line_and_no_control_characters(toy):
    names = ["cat\n\x1b[31m", "dog\u2028\u202e\ud800"]
    for category, name in zip(toy.content["categories"], names, strict=True):
        category["name"] = name
    toy.save()
    shown = [category["name"] for category in read_coco_json(str(toy.json_file))["categories"]]
    assert shown == [r"cat\n\x1b[31m", r"dog\u2028\u202e\ud800"]

    toy.content["categories"][1]["name"] = r"cat\n\x1b[31m"
    toy.save()
    with pytest.raises(UserError, match="occurs 2 times in 'categories'"):
        read_coco_json(str(toy.json_file))
