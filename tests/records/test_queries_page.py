"""The examples of docs/queries.md, on records with known answers."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import imbdet
from imbdet.records.record_columns import SCHEMA

PAGE = Path(imbdet.__file__).parents[1] / "docs" / "queries.md"
ALIKE = {
    "site": "roi_heads",
    "weight": 1.0,
    "cls_weight": 1.0,
    "grad_norm": 0.5,
    "stratum_weight": 1.0,
}
BOX = {"x0": 10.0, "y0": 20.0, "x1": 30.0, "y1": 60.0}


def positive(iteration, image_id, gt_id, gt_class, **columns):
    known = {"iteration": iteration, "image_id": image_id, "gt_id": gt_id, "class": gt_class}
    return ALIKE | known | {"is_positive": True, "iou": 1.0, "score": 0.5} | columns


def negative(iteration, image_id, pred_class, **columns):
    known = {"iteration": iteration, "image_id": image_id, "pred_class": pred_class, **BOX}
    return ALIKE | known | {"is_positive": False, "iou": 0.1, "score": 0.9, "cls_loss": 2} | columns


ROWS = [
    # Two objects of image 1 have 2 and 1 positives, the one of image 2 none, then one.
    positive(3, "1", 0, 0, grad_norm=0.5, weight=4.0, cls_weight=0.5),
    positive(3, "1", 0, 0),
    positive(3, "1", 1, 2),
    positive(150, "2", 0, 1, grad_norm=0.25),
    # Image 2 is seen at iteration 3, too.
    negative(3, "2", 0, grad_norm=0.25, stratum_weight=8.0),
    negative(150, "1", 2, cls_loss=3, grad_norm=0.75),
    # No suspects.
    negative(150, "1", 1, iou=0.4, grad_norm=0.0),
    negative(150, "1", 1, score=0.4, grad_norm=0.0),
    negative(150, "1", 1, site="rpn"),
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("queries")
    samples = folder / "run" / "records" / "samples"
    samples.mkdir(parents=True)
    for i, half in enumerate((ROWS[:4], ROWS[4:])):
        pq.write_table(pa.Table.from_pylist(half, schema=SCHEMA), samples / f"part-{i}.parquet")
    (folder / "annotations").mkdir()
    (folder / "images").mkdir()
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        image = Image.new("RGB", (80, 80), "white")
        image.paste(colour, (10, 20, 30, 60))
        image.save(folder / "images" / name)
    # In the file neither categories nor annotations are in order; a crowd is no object.
    content = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "categories": [{"id": k, "name": name} for k, name in ((9, "z"), (2, "x"), (4, "y"))],
        "annotations": [
            {"id": 7, "image_id": 1, "category_id": 9, "iscrowd": 0},
            {"id": 5, "image_id": 1, "category_id": 2, "iscrowd": 0},
            {"id": 6, "image_id": 1, "category_id": 2, "iscrowd": 1},
            {"id": 8, "image_id": 2, "category_id": 4, "iscrowd": 0},
        ],
    }
    (folder / "annotations" / "train.json").write_text(json.dumps(content))
    names = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        for path, stand_in in (
            ("output/bccd/faster_rcnn", folder / "run"),
            ("datasets/bccd", folder),
            ("suspects.png", folder / "suspects.png"),
        ):
            code = code.replace(f'"{path}"', repr(str(stand_in)))
        exec(code, names)
    return names | {"folder": folder}


def test_hard_negatives_that_look_like_objects(answers):
    found = {(row["pred_class"], row["len"]) for row in answers["by_class"].to_dicts()}
    assert found == {("x", 1), ("z", 1)}
    sheet = Image.open(answers["folder"] / "suspects.png")
    # The highest loss is the first.
    colours = [sheet.getpixel((96 * i + 48, 48)) for i in range(3)]
    assert colours == [(255, 0, 0), (0, 0, 255), (0, 0, 0)]
    assert sheet.getpixel((1, 1)) == (255, 0, 0)


def test_shares_of_the_gradient(answers):
    shares = {
        (row["iteration"], row["class"]): row["share"] for row in answers["shares"].to_dicts()
    }
    expected = {
        (0, 0): 1.5 / 4,
        (0, 2): 0.5 / 4,
        (0, None): 2 / 4,
        (100, 1): 0.25,
        (100, None): 0.75,
    }
    assert shares == pytest.approx(expected)


def test_objects_without_positives(answers):
    # Image 1 is seen at 3 and 150, image 2 as well: each object twice.
    assert answers["counts"].fetchall() == [(2, 2, 1.0, 0.5), (4, 2, 0.5, 0.5), (9, 2, 0.5, 0.5)]
