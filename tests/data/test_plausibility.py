import copy

import pytest

from imbdet.data import load_dataset
from tests.data.test_checks import warnings_in


def corners(toy):
    for note in toy.content["annotations"]:
        x, y, width, height = note["bbox"] = [15, 12, 20, 10]
        note["bbox"] = [x, y, x + width, y + height]


def fractions(toy):
    for note in toy.content["annotations"]:
        note["bbox"] = [0.1, 0.2, 0.5, 1.0]


def another_size(toy):
    for note in toy.content["annotations"]:
        note["bbox"] = [30, 5, 20, 10]


def left_of_the_image(toy):
    toy.content["annotations"][1]["bbox"] = [-10, 5, 20, 10]


def repeated_annotations(toy):
    for i in (1, 2):
        toy.content["annotations"].append({**toy.content["annotations"][0], "id": 10 + i})


def repeated_images(toy):
    toy.content["images"][2]["file_name"] = "1.png"


PIXELS = "Boxes are read as [left, top, width, height] in pixels"
WORDS = {
    corners: f"5 of its 5 boxes reach beyond their image (first: [15, 12, 35, 22] of annotation 1 "
    f"in '1.png', of 40 x 30 pixels). {PIXELS}: these may be corners",
    fractions: "None of its 5 boxes is wider or higher than a pixel (first: [0.1, 0.2, 0.5, 1.0] of"
    " annotation 1 in '1.png', of 40 x 30 pixels). Boxes are read in pixels: these may be fract",
    another_size: "5 of its 5 boxes reach beyond their image",
    left_of_the_image: "1 of its 5 boxes reach beyond their image (first: [-10, 5, 20, 10] of anno",
    repeated_annotations: "2 annotations have the class and box of another one of the image (first:"
    " [5, 5, 20, 10] of annotation 11 in '1.png'): each counts as an object.",
    repeated_images: "1 image file is listed more than once (first: '1.png', 2 times): each time",
}


@pytest.mark.parametrize("damage", WORDS, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("training", [True, False])
def test_tells_what_is_implausible_as_a_whole(toy, log, damage, training):
    damage(toy)
    load_dataset(toy.config(), "toy", training=training)
    (warning,) = warnings_in(log)
    assert warning.startswith(f"Data set 'toy': {WORDS[damage]}")


def test_some_boxes_may_overreach_a_little(toy, log):
    note = toy.content["annotations"][0]
    note["bbox"] = [21.5, 20, 20, 11.9]  # by 1.5 and 1.9 pixels
    load_dataset(toy.config(), "toy", training=True)
    for i in range(1, 40):
        toy.content["annotations"].append({**copy.deepcopy(note), "id": 10 + i})
        toy.content["annotations"][-1]["bbox"] = [1, 1, 2 + i / 2, 3]
    toy.content["annotations"][-1]["bbox"] = [30, 5, 20, 10]  # 1 of 44
    load_dataset(toy.config(), "toy", training=True)
    assert warnings_in(log) == []
