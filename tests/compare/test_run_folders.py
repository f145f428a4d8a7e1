import json
from pathlib import Path

import pytest

from imbdet.compare.ground_truth import load_test_set
from imbdet.compare.run_folders import distinct_names, open_runs, read_results
from imbdet.errors import UserError
from tests.compare.problems import OBJECTS, RESULTS, place, write_run, write_truth


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/o/a", "/o/b"], ["a", "b"]),
        (["/o/a/seed_1", "/o/b/seed_1"], ["a/seed_1", "b/seed_1"]),
        (["/x/a/s", "/y/a/s", "/y/b/s"], ["x/a/s", "y/a/s", "y/b/s"]),
        (["/a", "/b/a"], ["/a", "b/a"]),
    ],
)
def test_names_are_distinct(paths, names):
    assert distinct_names([Path(path) for path in paths]) == names


def test_what_is_no_run_is_said(tmp_path):
    run = str(write_run(tmp_path / "run", write_truth(tmp_path)))
    (tmp_path / "folder").mkdir()
    for folders, message in (
        ([run], "needs two runs or more"),
        ([run, run + "/."], "named twice"),
        ([run, str(tmp_path / "folder")], r"folder' is no run: a run is the OUTPUT_DIR .*in it\."),
        ([run, str(tmp_path / "nowhere")], "there is no such folder"),
    ):
        with pytest.raises(UserError, match=message):
            open_runs(folders)


@pytest.mark.parametrize("text", ["", "DATASETS: 3", "a: [", "DATASETS: {SHAPES: {SIZE: 3}}"])
def test_a_broken_config_is_said(text, tmp_path):
    for name in ("a", "b"):
        write_run(tmp_path / name, write_truth(tmp_path))
    (tmp_path / "b" / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=r"DATASETS cannot be read from '.*config\.yaml'"):
        open_runs([str(tmp_path / "a"), str(tmp_path / "b")])


def test_keys_of_another_version_do_no_harm(tmp_path):
    for name in ("a", "b"):
        write_run(tmp_path / name, write_truth(tmp_path))
    with (tmp_path / "b" / "config.yaml").open("a") as file:
        file.write("GONE: {KEY: 1}\n")
    a, b = open_runs([str(tmp_path / "a"), str(tmp_path / "b")])
    assert a.cfg.DATASETS == b.cfg.DATASETS


BROKEN = {
    "half": "[{",
    "no list": "3",
    "no record": "[3]",
    "no box": json.dumps([{"image_id": 1, "category_id": 1, "score": 0.5}]),
    "three numbers": json.dumps([{**place(1, 0, score=0.5), "bbox": [1, 2, 3]}]),
    "NaN": json.dumps([place(1, 0, score=float("nan"))]),
    "unknown class": json.dumps([place(1, 0, category_id=7, score=0.5)]),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_broken_results_are_said(text, tmp_path):
    for name in ("a", "b"):
        write_run(tmp_path / name, write_truth(tmp_path))
    run, _ = open_runs([str(tmp_path / "a"), str(tmp_path / "b")])
    assert read_results(run, "tiny", {1, 2}) == RESULTS
    run.results_file("tiny").write_text(text)
    with pytest.raises(UserError, match=r"coco_instances_results\.json'.*evaluate the run again"):
        read_results(run, "tiny", {1, 2})


def two_runs(tmp_path, first_truth, second_truth, **options):
    write_run(tmp_path / "a", first_truth)
    write_run(tmp_path / "b", second_truth, **options)
    return open_runs([str(tmp_path / "a"), str(tmp_path / "b")])


def test_equal_annotations_at_another_place_are_the_same(tmp_path):
    first, second = write_truth(tmp_path / "x"), write_truth(tmp_path / "y")
    truth = load_test_set(two_runs(tmp_path, first, second), None)
    assert truth.name == "tiny"
    assert truth.json_file == str(first)
    assert truth.image_root == str(tmp_path / "x")


def test_other_annotations_are_refused(tmp_path):
    first, second = write_truth(tmp_path / "x"), write_truth(tmp_path / "y", OBJECTS[:-1])
    with pytest.raises(
        UserError, match=r"DATASETS\.COCO.*x/truth\.json' in a and '.*y/truth\.json"
    ):
        load_test_set(two_runs(tmp_path, first, second), None)


def test_other_test_sets_are_refused(tmp_path):
    truth = write_truth(tmp_path)
    runs = two_runs(tmp_path, truth, truth, dataset="other")
    message = r"DATASETS\.TEST is 'tiny' in a and 'other' in b"
    with pytest.raises(UserError, match=message):
        load_test_set(runs, None)
    # The run may have been tested on the data set later.
    assert load_test_set(runs, "tiny").json_file == str(truth)


def test_other_shapes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    truth = write_truth(tmp_path)
    runs = two_runs(tmp_path, truth, truth)
    for run, seed in zip(runs, (0, 1), strict=True):
        run.cfg.DATASETS.TEST = ["shapes_val"]
        shapes = run.cfg.DATASETS.SHAPES
        shapes.NUM_TRAIN, shapes.NUM_VAL, shapes.IMAGE_SIZE, shapes.SEED = 1, 2, 96, seed
        shapes.OBJECT_SIZE = (8, 32)
    with pytest.raises(UserError, match=r"DATASETS\.SHAPES\.SEED is 0 in a and 1 in b"):
        load_test_set(runs, None)
