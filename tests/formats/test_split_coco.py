"""datasets/split_coco.py, on annotations of a few images."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbdet.config import load_config
from tests.formats.test_prepare_bccd import load_program
from tests.messages import assert_says

program = load_program("split_coco")


def content_of(num_images, num_classes=2):
    """A file whose images have one object each; the last one is listed twice, and has two."""
    ids = [*range(1, num_images + 1), num_images + 1]
    names = [f"{i}.png" for i in [*ids[:-1], num_images]]
    return {
        "info": {"year": 2026},
        "images": [
            {"id": i, "file_name": name, "width": 64, "height": 48}
            for i, name in zip(ids, names, strict=True)
        ],
        "annotations": [
            {
                "id": 10 * i,
                "image_id": i,
                "category_id": 1 + i % num_classes,
                "bbox": [1, 2, 3, 4],
                "area": 12,
                "iscrowd": 0,
                "segmentation": [[1, 2, 4, 2, 4, 6]],
            }
            for i in ids
        ],
        "categories": [{"id": k, "name": f"class {k}"} for k in range(1, num_classes + 1)],
    }


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cells.json"
    path.write_text(json.dumps(content_of(20)))
    return path


def read(file, *splits):
    return {
        name: json.loads(file.with_name(f"{file.stem}_{name}.json").read_text()) for name in splits
    }


def test_every_image_is_in_one_split_with_its_objects(file, tmp_path, capsys):
    assert program.main([str(file), "--images", str(tmp_path / "images")]) == 0
    whole, parts = json.loads(file.read_text()), read(file, "train", "val", "test")
    for field in ("images", "annotations"):
        found = [record for part in parts.values() for record in part[field]]
        assert sorted(found, key=lambda record: record["id"]) == whole[field]
    names = [{image["file_name"] for image in part["images"]} for part in parts.values()]
    assert [len(of_split) for of_split in names] == [14, 3, 3]
    assert len(set.union(*names)) == 20
    for part in parts.values():
        assert part["categories"] == whole["categories"]
        assert part["info"] == whole["info"]
        ids = {image["id"] for image in part["images"]}
        assert {note["image_id"] for note in part["annotations"]} == ids

    said = capsys.readouterr().out
    config = said.split("Save as configs/cells.yaml:\n\n")[1].split("\n\nand train:")[0]
    (tmp_path / "cells.yaml").write_text(config.replace('"BCCD', '"imbdet://BCCD'))
    cfg = load_config(str(tmp_path / "cells.yaml"))
    assert (cfg.DATASETS.TRAIN, cfg.DATASETS.TEST) == (("cells_train",), ("cells_val",))
    assert [entry["NAME"] for entry in cfg.DATASETS.COCO][-1] == "cells_test"
    assert {entry["IMAGES"] for entry in cfg.DATASETS.COCO} == {str(tmp_path / "images")}
    assert cfg.MODEL.RETINANET.NUM_CLASSES == 2


def test_a_second_run_divides_alike_and_overwrites_nothing(file, capsys):
    assert program.main([str(file)]) == 0
    first = read(file, "train", "val", "test")
    assert program.main([str(file)]) == 2
    assert_says(capsys.readouterr().err, "cells_train.json' is there already: remove it to divide")
    for name in first:
        file.with_name(f"cells_{name}.json").unlink()
    assert program.main([str(file)]) == 0
    assert read(file, *first) == first


def test_halves_have_entries_alone(file, capsys):
    assert program.main([str(file), "--shares", "0", "0.5", "0.5"]) == 0
    parts = read(file, "val", "test")
    names = [{image["file_name"] for image in part["images"]} for part in parts.values()]
    assert [len(of_split) for of_split in names] == [10, 10]
    assert not file.with_name("cells_train.json").exists()
    said = capsys.readouterr().out
    assert_says(said, "Add to DATASETS.COCO", 'NAME: "cells_val"', 'NAME: "cells_test"')
    assert "_BASE_" not in said


def test_classes_that_a_split_lacks_are_named(file, capsys):
    file.write_text(json.dumps(content_of(20, num_classes=20)))
    assert program.main([str(file)]) == 0
    assert "Classes without objects in val: class 1, " in capsys.readouterr().out


@given(num_images=st.integers(1, 60), train=st.floats(0, 1, exclude_min=True), val=st.floats(0, 1))
def test_splits_are_as_large_as_their_shares(num_images, train, val):
    total = train + val
    shares = {"train": train / total, "val": val / total}
    images = content_of(num_images)["images"]
    try:
        parts = program._draw(images, {name: share for name, share in shares.items() if share})
    except program.UserError:
        assert any(round(num_images * share) == 0 for share in shares.values() if share)
        return
    for name, part in parts.items():
        assert abs(len(part) - num_images * shares[name]) <= 1
    assert set.union(*parts.values()) == {image["file_name"] for image in images}


BAD = {
    "no sum of 1": (["--shares", "0.7", "0.2", "0.2"], "together they must be 1"),
    "one split": (["--shares", "1", "0", "0"], "two or more must be above 0"),
    "a negative share": (["--shares", "1.2", "-0.2", "0"], "two or more must be above 0"),
    "NaN": (["--shares", "nan", "0.5", "0.5"], "--shares are nan, 0.5, 0.5"),
    "too few images": (["--shares", "0.98", "0.01", "0.01"], "0.01 of 20 images are none for val"),
}


@pytest.mark.parametrize(("flags", "words"), BAD.values(), ids=BAD.keys())
def test_bad_shares_are_one_sentence(flags, words, file, capsys):
    assert program.main([str(file), *flags]) == 2
    error = capsys.readouterr().err
    assert_says(error, words)
    assert error.count("\n") == 1
    assert [path.name for path in file.parent.iterdir()] == ["cells.json"]


@pytest.mark.parametrize("text", ["{", "[]", '{"images": []}'])
def test_other_files_are_refused(text, file, capsys):
    file.write_text(text)
    assert program.main([str(file)]) == 2
    assert_says(capsys.readouterr().err, "Annotation file", "cells.json")
    assert program.main([str(file.with_name("none.json"))]) == 2
    assert_says(capsys.readouterr().err, "There is no annotation file")
