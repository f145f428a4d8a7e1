import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from imbdet.compare.comparison_pictures import (
    find_images,
    most_different,
    remove_pictures,
    write_pictures,
)
from imbdet.errors import UserError
from imbdet.evaluation.matches import match
from imbdet.figures.study import NothingToShow
from tests.compare.problems import OBJECTS, RESULTS, ground_truth, place, write_truth

TRUTH = ground_truth(OBJECTS)


def test_images_that_differ_most_come_first():
    counts = {
        "base": np.array([[9, 9, 9, 9], [1, 0, 2, 0], [1, 1, 1, 0]]),
        "x": np.array([[0, 0, 0, 0], [1, 0, 1, 0], [1, 0, 1, 0]]),
        "y": np.array([[0, 0, 0, 0], [1, 4, 3, 0], [0, 1, 2, 0]]),
    }
    assert most_different(counts, 4) == [1, 2, 0]  # by 4, 2 and 1
    assert most_different(counts, 1) == [1]


def test_images_are_found_by_name():
    assert find_images(TRUTH, ["2.png", "1", "2.png"]) == [1, 0]
    assert find_images(TRUTH, []) == []
    with pytest.raises(UserError, match="--picture '7'"):
        find_images(TRUTH, ["7"])


THRESHOLDS = {"x": {"a": 0.85}, "y": {"a": 0.5}}


def write(folder, rows, results=RESULTS):
    runs = {"x": match(TRUTH, results), "y": match(TRUTH, results)}
    return write_pictures(runs, THRESHOLDS, str(folder / "images"), rows, folder)


def pictures(folder):
    return sorted(path.name for path in (folder / "pictures").iterdir())


def test_pictures_are_written_and_replaced(tmp_path):
    write_truth(tmp_path / "images")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "own.png").touch()
    assert write(tmp_path, [0, 1]).startswith("1.png, 2.png, as asked for")
    assert pictures(tmp_path) == ["1.png", "2.png", "own.png"]
    rows = pq.read_table(tmp_path / "tables" / "pictures.parquet").to_pylist()
    assert rows[3] == {"file": "2.png", "run": "y", "right": 1, "wrong": 1, "missed": 1}
    picture = Image.open(tmp_path / "pictures" / "1.png")
    assert picture.width > 3 * 900  # ground truth and two runs
    remove_pictures(tmp_path)
    assert pictures(tmp_path) == ["own.png"]
    assert "errors differ most" in write(tmp_path, [])
    assert pictures(tmp_path) == ["1.png", "own.png"]


def test_nothing_outside_of_the_folder_is_removed(tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "mine.txt").touch()
    table = tmp_path / "tables" / "pictures.parquet"
    pq.write_table(pa.table({"file": ["../mine.txt", None]}), table)
    remove_pictures(tmp_path)
    assert (tmp_path / "mine.txt").exists()
    table.write_bytes(b"PAR1 no table")
    remove_pictures(tmp_path)
    assert not table.exists()


@pytest.mark.parametrize(
    ("results", "rows", "reason"),
    [([], [], "the same number of errors"), (RESULTS, [0], r"images/1\.png' is missing")],
)
def test_why_there_are_no_pictures(results, rows, reason, tmp_path):
    with pytest.raises(NothingToShow, match=reason):
        write(tmp_path, rows, results)
    assert not (tmp_path / "tables").exists()


def test_an_image_that_is_none_is_said(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(NothingToShow, match=r"images/1\.png' is not an image"):
        write(tmp_path, [0])


def test_a_wrong_detection_is_crossed(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "imbdet.compare.comparison_pictures.draw_panel",
        lambda pixels, marks, title: seen.append((title, marks)) or Image.new("RGB", (9, 9)),
    )
    write_truth(tmp_path / "images")
    write(tmp_path, [0])
    assert [title for title, _ in seen] == [
        "ground truth (3)",
        "x: 1 right, 0 wrong (✗), 1 missed",
        "y: 1 right, 1 wrong (✗), 1 missed",
    ]
    right, wrong = seen[2][1]
    assert (right.label, right.is_dashed) == ("a 0.90", False)
    assert (wrong.label, wrong.is_dashed) == ("✗ a 0.50", True)
    assert wrong.box == place(1, 0, shift=10.0)["bbox"]


def test_the_highest_scores_are_labelled(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "imbdet.compare.comparison_pictures.draw_panel",
        lambda pixels, marks, title: seen.append(marks) or Image.new("RGB", (9, 9)),
    )
    write_truth(tmp_path / "images")
    wrong = [place(1, 2, category_id=2, score=0.01 * i) for i in range(1, 26)]
    runs = {"x": match(TRUTH, [*wrong, place(1, 0, score=0.9)])}
    write_pictures(runs, {"x": {"a": 0, "b": 0}}, str(tmp_path / "images"), [0], tmp_path)
    labels = [mark.label for mark in seen[1]]
    assert labels[:3] == ["a 0.90", "✗ b 0.25", "✗ b 0.24"]
    assert labels[19:] == ["✗ b 0.07", *[""] * 6]
