"""Weights know which classes they learned, in each program that uses them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import imbdet.cli
import train_net
from imbdet.analysis.analysis_writer import ResultWriter
from imbdet.config_files.addresses import configs_folder
from imbdet.figures.gradient_ratio import GradientRatios
from tests.engine.jobs import SMALL
from tests.messages import assert_says

pytestmark = pytest.mark.usefixtures("restored_loggers")

KEYS = {**SMALL, "SOLVER.MAX_ITER": 1, "MODEL.RETINANET.NUM_CLASSES": 2}


def write_data(folder, names=("cat", "dog"), width=20):
    """Four images of 64 x 64 pixels, of which each has an object of each class."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    content = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": 10 * i, "name": name} for i, name in enumerate(names, 1)]
    for i in (1, 2, 3, 4):
        pixels = np.random.default_rng(i).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
        content["images"].append({"id": i, "file_name": f"{i}.png", "width": 64, "height": 64})
        for k in (1, 2):
            note = {"image_id": i, "category_id": 10 * k, "bbox": [8 * k, 8, width, 20]}
            note |= {"id": 2 * i + k, "area": width * 20, "iscrowd": 0}
            content["annotations"].append(note)
    (folder / "data.json").write_text(json.dumps(content))


def write_config(folder):
    entry = {"JSON": str(folder / "data/data.json"), "IMAGES": str(folder / "data/images")}
    datasets = {
        "COCO": [{"NAME": f"toy_{split}", **entry} for split in ("train", "val")],
        "TRAIN": ["toy_train"],
        "TEST": ["toy_val"],
    }
    base = str(configs_folder() / "quick_start" / "retinanet.yaml")
    (folder / "config.yaml").write_text(json.dumps({"_BASE_": base, "DATASETS": datasets}))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    write_data(folder / "data")
    write_config(folder)
    assert train(folder) == 0
    return folder


@pytest.fixture
def place(trained, tmp_path):
    """A copy of a training and its data; a test may change them."""
    folder = Path(shutil.copytree(trained, tmp_path / "place"))
    for config in (folder / "config.yaml", folder / "run" / "config.yaml"):
        config.write_text(config.read_text().replace(str(trained), str(folder)))
    return folder


def train(folder, *flags, **keys):
    pairs = {**KEYS, "OUTPUT_DIR": folder / "run", **keys}
    pairs = [str(x) for pair in pairs.items() for x in pair]
    return train_net.main(["--config-file", str(folder / "config.yaml"), *flags, *pairs])


def use(program, folder, *options):
    args = [program, "--config-file", str(folder / "config.yaml"), "--output", str(folder / "out")]
    args += ["--weights", str(folder / "run" / "model_final.pth"), *options]
    return imbdet.cli.main([*args, *(str(x) for pair in KEYS.items() for x in pair)])


def test_a_run_and_its_checkpoint_know_classes_and_data(trained):
    (start,) = json.loads((trained / "run" / "run.json").read_text())
    state = torch.load(trained / "run" / "model_final.pth", weights_only=True)["data"]
    assert state == start["data"]
    assert (state["classes"], state["category_ids"]) == (["cat", "dog"], [10, 20])
    assert state["annotations"]["toy_train"]["boxes"] == 8
    assert state["images_of_class"] == [4, 4]


def test_a_training_tells_metrics_by_frequency(trained):
    lines = (trained / "run" / "metrics.json").read_text().splitlines()
    logged = {name for line in lines for name in json.loads(line)}
    assert "bbox/APr" in logged
    assert not logged & {"bbox/APc", "bbox/APf"}  # both classes are in four images
    evaluation = json.loads((trained / "run/inference/toy_val/metrics.json").read_text())
    assert evaluation["frequencies"] == {"cat": "r", "dog": "r"}


def test_weights_know_how_frequent_their_classes_were(place):
    weights = {"MODEL.WEIGHTS": place / "run" / "model_final.pth", "DATASETS.TRAIN": "()"}
    bounds = {"TEST.FREQUENCY_BOUNDS": "(1, 3)"}
    assert train(place, "--eval-only", **weights, **bounds, OUTPUT_DIR=place / "other") == 0
    evaluation = json.loads((place / "other/inference/toy_val/metrics.json").read_text())
    assert evaluation["frequencies"] == {"cat": "f", "dog": "f"}
    assert evaluation["frequency_bounds"] == [1, 3]
    overall = evaluation["metrics"]["bbox"]["overall"]
    assert overall["APf"] == overall["AP"]


def test_an_analysis_takes_frequencies_of_the_training(place, monkeypatch):
    def only_this_figure(writer):
        return {GradientRatios: writer._gradient_ratios}

    monkeypatch.setattr(ResultWriter, "_studies", only_this_figure)
    assert use("analyze", place, "--num-images", "2") == 0
    rows = pq.read_table(place / "out/tables/gradient_ratio.parquet").to_pylist()
    assert {row["class"]: row["training_images"] for row in rows} == {"cat": 4, "dog": 4}


@pytest.mark.parametrize("bounds", ["(100, 10)", "(1, 2, 3)", "(-1, 10)"])
def test_bounds_of_frequency_that_cannot_be_are_refused(place, bounds, capsys):
    assert train(place, **{"TEST.FREQUENCY_BOUNDS": bounds}, OUTPUT_DIR=place / "other") == 2
    assert_says(capsys.readouterr().err, "TEST.FREQUENCY_BOUNDS")


EVALUATE = ("--eval-only",)
PROGRAMS = {
    "resume": lambda folder: train(folder, "--resume"),
    "evaluate": lambda folder: train(
        folder, *EVALUATE, **{"MODEL.WEIGHTS": folder / "run" / "model_final.pth"}
    ),
    "evaluate the run": lambda folder: train(folder, *EVALUATE, "--resume"),
    "analyze": lambda folder: use("analyze", folder),
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_another_order_of_classes_is_refused(program, place, capsys):
    write_data(place / "data", names=("dog", "cat"))
    assert program(place) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert_says(error, "learned other classes", "class 0 was 'cat' and is 'dog'")
    starts = json.loads((place / "run" / "run.json").read_text())
    assert len(starts) == 1  # it did not begin


def test_other_annotations_are_told_when_a_run_goes_on(place, capsys):
    write_data(place / "data", width=24)
    assert train(place, "--resume", **{"SOLVER.MAX_ITER": 2}) == 0
    out = capsys.readouterr().out
    assert_says(out, "other annotations than it began with: 'toy_train' had 4 images with 8 boxes")


def test_other_annotations_of_the_same_classes_may_be_tested_on(place):
    write_data(place / "data", width=24)
    weights = {"MODEL.WEIGHTS": place / "run" / "model_final.pth"}
    assert train(place, "--eval-only", **weights, OUTPUT_DIR=place / "other") == 0


def test_a_new_training_may_learn_other_classes(place, capsys):
    write_data(place / "data", names=("dog", "cat"))
    weights = {"MODEL.WEIGHTS": place / "run" / "model_final.pth"}
    assert train(place, **weights, OUTPUT_DIR=place / "other") == 0
    assert_says(capsys.readouterr().out, "learned as many classes", "class 0 was 'cat'")


def test_weights_that_know_no_classes_are_used_as_ever(place):
    write_data(place / "data", names=("dog", "cat"))
    path = place / "run" / "model_final.pth"
    torch.save({"model": torch.load(path, weights_only=True)["model"]}, path)
    keys = {"MODEL.WEIGHTS": path, "OUTPUT_DIR": place / "other"}
    assert train(place, "--eval-only", **keys) == 0


def test_predictions_and_reports_need_no_data(place, capsys):
    shutil.move(place / "data" / "images", place / "photos")
    shutil.rmtree(place / "data")
    assert use("predict", place, "--images", str(place / "photos")) == 0
    content = json.loads((place / "out" / "detections.json").read_text())
    assert content["categories"] == [{"id": 10, "name": "cat"}, {"id": 20, "name": "dog"}]
    assert imbdet.cli.main(["report", str(place / "run")]) == 0
    assert "WARNING" not in capsys.readouterr().out


def compare(place):
    runs = [str(place / name) for name in ("run", "other")]
    return imbdet.cli.main(["compare", *runs, "--output", str(place / "comparison")])


def test_results_of_other_classes_are_not_compared(place, capsys):
    shutil.copytree(place / "run", place / "other")
    write_data(place / "data", names=("dog", "cat"))
    assert compare(place) == 2
    assert_says(capsys.readouterr().err, "results of run on 'toy_val'", "10 was 'cat' and is 'dog'")


def test_a_comparison_tells_other_annotations(place, capsys):
    shutil.copytree(place / "run", place / "other")
    info = place / "other" / "run.json"
    info.write_text(info.read_text().replace('"boxes": 8', '"boxes": 9'))
    write_data(place / "data", width=24)
    assert compare(place) == 0
    summary = (place / "comparison" / "summary.txt").read_text()
    assert_says(summary, "run was evaluated on other annotations of 'toy_val', 4 images with 8")
    assert_says(summary, "other learned from other annotations of 'toy_train', 4 images with 9")
