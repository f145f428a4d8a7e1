import numpy as np
import pytest

from imbdet.analysis.selection_pictures import choose_images, draw_picture, line_widths
from imbdet.drawing.style import save
from imbdet.errors import UserError
from tests.analysis.problems import random_table

IMAGES = {
    "image_id": np.array(["11", "12", "13", "14"], dtype=object),
    "file_name": np.array(["x/a.png", "x/b.png", "y/a.png", "y/c.png"], dtype=object),
}
OBJECTS = {"image_id": np.array(["12", "12", "14"], dtype=object)}


def test_images_with_objects_are_chosen():
    assert choose_images(IMAGES, OBJECTS, [], 2) == [1, 3]
    assert choose_images(IMAGES, OBJECTS, [], 9) == [1, 3]
    assert choose_images(IMAGES, {"image_id": np.array([], dtype=object)}, [], 2) == [1, 3]


@pytest.mark.parametrize(
    ("name", "row"), [("b", 1), ("b.png", 1), ("y/a.png", 2), ("14", 3), ("a", 0)]
)
def test_images_are_chosen_by_name(name, row):
    assert choose_images(IMAGES, OBJECTS, [name], 2) == [row]


def test_the_name_of_a_file_comes_before_the_id_of_another_image():
    images = {"image_id": ["1", "2", "3"], "file_name": ["1.jpg", "10.jpg", "2.jpg"]}
    assert choose_images(images, OBJECTS, ["2", "3"], 2) == [2]


def test_an_image_is_drawn_once():
    assert choose_images(IMAGES, OBJECTS, ["b", "x/b.png", "12", "y/c.png"], 2) == [1, 3]


def test_an_unknown_name_is_said():
    with pytest.raises(UserError, match="--picture 'd'"):
        choose_images(IMAGES, OBJECTS, ["d"], 2)


def test_lines_grow_with_the_loss():
    widths = line_widths(np.array([0.0, 1e-3, 0.01, 0.1, 10.0, 1e5]))
    assert (np.diff(widths) >= 0).all()
    assert widths[1] == widths[2] < widths[3] < widths[4] == widths[5]


@pytest.mark.parametrize(("num_objects", "num_regions"), [(0, 0), (2, 0), (2, 1)])
def test_a_picture_shows_what_was_chosen(num_objects, num_regions, tmp_path):
    table = random_table(40)
    table |= {name: np.linspace(1, 20, 40) for name in ("x0", "y0")}
    table |= {name: np.linspace(25, 60, 40) for name in ("x1", "y1")}
    del table["chosen_by_score_hlr"]
    table["chosen_by_iou_hlr"] = table["label"] == 1
    num_positives = table["chosen_by_iou_hlr"].sum()
    gt_boxes = np.array([[1.0, 2, 30, 40], [5, 5, 9, 9]])[:num_objects]
    regions = np.array([[10.0, 10, 60, 50]])[:num_regions]
    figure = draw_picture(np.full((64, 64, 3), 200, dtype=np.uint8), table, gt_boxes, regions)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    hard = (table["chosen_by_ohem"] & (table["label"] == 0)).sum()
    axes = panels[f"hard negatives ({hard})"]
    assert len(axes.collections[0].get_paths()) == hard
    assert len(axes.patches) == num_objects + num_regions
    assert [patch.get_linestyle() for patch in axes.patches].count("--") == num_regions
    (legend,) = figure.legends
    assert ("dashed: ignored regions" in legend.get_title().get_text()) == (num_regions > 0)
    assert f"prime: all {num_positives} positives" in panels
    assert panels["prime negatives"].texts[0].get_text() == "needs a two-stage detector"
    png, pdf = save(figure, tmp_path / "picture")
    assert png.read_bytes()[1:4] == b"PNG"
    assert pdf.read_bytes()[:4] == b"%PDF"
