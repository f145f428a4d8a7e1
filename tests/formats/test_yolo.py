"""The label files of YOLO."""

import pytest

from imbdet.errors import UserError
from imbdet.formats.yolo import read_labels

CLASSES = ["fish", "shark"]


def read(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    return read_labels(tmp_path / "a.txt", (200, 100), CLASSES)


def test_boxes_and_outlines_become_boxes_in_pixels(tmp_path):
    objects = read(tmp_path, "1 0.5 0.5 0.2 0.4\n\n0 0.1 0.2 0.3 0.1 0.25 0.6\n")
    assert [name for name, *_ in objects] == ["shark", "fish"]
    assert objects[0].box == pytest.approx([80, 30, 120, 70])
    assert objects[1].box == pytest.approx([20, 10, 60, 60])


def test_an_image_without_a_file_has_no_objects(tmp_path):
    assert read_labels(tmp_path / "b.txt", (200, 100), CLASSES) == []
    assert read(tmp_path, "") == []


@pytest.mark.parametrize(
    "line",
    [
        *("2 0.5 0.5 0.1 0.1", "-1 0.5 0.5 0.1 0.1", "1.5 0.5 0.5 0.1 0.1", "1 0.5 0.5 0.1"),
        *("1 0.5 0.5 0.1 0.1 0.2", "1 0.5 0.5 0.1 wide", "1 0.5 nan 0.1 0.1", "1"),
    ],
)
def test_another_line_is_refused_by_its_number(tmp_path, line):
    with pytest.raises(
        UserError, match=r"Line 2 of '.*a.txt' is not the number of one of 2 classes"
    ):
        read(tmp_path, f"0 0.5 0.5 0.1 0.1\n{line}\n")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"'.*a.txt' cannot be read"):
        read_labels(tmp_path / "a.txt", (200, 100), CLASSES)
