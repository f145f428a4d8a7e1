"""benchmarks/prune.py: the parts of the data, and their table."""

import importlib
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imbdet.config import load_config
from tests.test_configs import CONFIGS

from detectron2.data import DatasetCatalog  # isort: skip  (after imbdet)


@pytest.fixture
def program(monkeypatch):
    monkeypatch.syspath_prepend(str(CONFIGS.parent / "benchmarks"))
    import prune

    return prune


def write_ledger(folder, content, variances):
    """Write a ledger of which only the variances matter, without images that have no object."""
    notes = content["annotations"]
    images = list(dict.fromkeys(note["image_id"] for note in notes))
    ones = [1.0] * len(notes)
    objects = {
        "id": [str(note["id"]) for note in notes],
        "class": [0] * len(notes),
        "is_ignored": [False] * len(notes),
        "judged": ones,
        "rival_mean": ones,
        "cls_loss_variance": variances,
        "box_loss_variance": ones,
    }
    of_images = {
        "image_id": [str(image) for image in images],
        "seen": [1] * len(images),
        "annotations": [sum(note["image_id"] == image for note in notes) for image in images],
    }
    folder.mkdir(parents=True)
    for name, columns in (("objects", objects), ("images", of_images)):
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def test_the_published_part_are_the_images_with_the_highest_sums(program, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    opts = ["DATASETS.SHAPES.NUM_TRAIN", "12", "DATASETS.SHAPES.NUM_VAL", "2"]
    trial = program.Trial(program.SETTING, "retinanet", 3, opts, tmp_path)
    annotations = Path(trial.shapes().json_file)
    DatasetCatalog.get("shapes_train")  # now they are drawn
    content = json.loads(annotations.read_text())
    notes = content["annotations"]
    variances = np.random.default_rng(0).random(len(notes))
    variances[0] = np.nan
    write_ledger(trial._whole.folder / "ledger", content, variances)
    kept = json.loads(trial._keep_highest(0.5, tmp_path).read_text())
    mean = np.nanmean(variances)
    sums: dict[int, float] = {}
    for note, variance in zip(notes, variances, strict=True):
        score = 0.0 if np.isnan(variance) else variance / mean + 1
        sums[note["image_id"]] = sums.get(note["image_id"], 0.0) + score
    best = sorted(sums, key=sums.get, reverse=True)[: round(len(sums) / 2)]
    empty = {image["id"] for image in content["images"]} - set(sums)
    assert {image["id"] for image in kept["images"]} == {*best, *empty}
    assert [note for note in notes if note["image_id"] in best] == kept["annotations"]


def test_a_part_is_trained_on_by_its_annotations(program, tmp_path):
    trial = program.Trial(program.SETTING, "retinanet", 3, ["SOLVER.MAX_ITER", "7"], tmp_path)
    run = trial.make_on("variance_0.5", tmp_path / "kept.json")
    assert run.folder == tmp_path / "retinanet" / "seed_3" / "variance_0.5"
    cfg = load_config(*map(str, run.files), opts=run.overrides)
    assert cfg.DATASETS.TRAIN == ("variance_0.5",)
    (entry,) = cfg.DATASETS.COCO
    assert entry["JSON"] == str(tmp_path / "kept.json")
    assert entry["IMAGES"] == trial.shapes().image_root
    assert (cfg.SEED, cfg.DATASETS.SHAPES.SEED, cfg.SOLVER.MAX_ITER) == (3, 3, 7)


def test_one_seed_has_no_differences(program):
    runs = [{"seed": 1, "objects": 10, "val": {"AP": 20.0}}]
    results = {"detector": "retinanet", "whole": runs, "parts": {"50 %": {"random": runs}}}
    assert re.search(
        r"^\| 50 % +\| random +\| 10 +\| 20.0 +\|$", program.format_table(results), re.M
    )


@pytest.mark.parametrize(
    ("seeds", "says"),
    [
        (range(11), "11 are more than the table has intervals for"),
        ([1, 2, 1], "one is named twice"),
    ],
    ids=["many", "twice"],
)
@pytest.mark.parametrize(
    ("name", "arguments"), [("prune", []), ("forecast", []), ("suspects", ["retinanet"])]
)
def test_bad_seeds_are_refused_before_anything_is_trained(
    name, arguments, seeds, says, program, capsys
):
    with pytest.raises(SystemExit):
        importlib.import_module(name).main([*arguments, "--seeds", *map(str, seeds)])
    assert f"--seeds: {says}" in capsys.readouterr().err


@pytest.mark.parametrize("shares", [["1.5"], ["0"], ["nan"], ["0.5", "0.5"]])
def test_bad_shares_are_refused_before_anything_is_trained(shares, program, capsys):
    with pytest.raises(SystemExit):
        program.main(["--keep", *shares])
    assert "--keep: " in capsys.readouterr().err


def test_parts_are_compared_with_the_random_one_of_their_size(program):
    def runs(*aps):
        return [{"seed": s, "objects": 10, "val": {"AP": ap}} for s, ap in enumerate(aps)]

    parts = {
        "70 %": {"random": runs(20.0, 22.0), "variance": runs(21.0, 23.0)},
        "50 %": {"random": runs(10.0, 12.0), "variance": runs(10.0, 12.5)},
    }
    results = {"detector": "retinanet", "whole": runs(30.0, 32.0), "parts": parts}
    text = program.format_table(results)
    assert text.startswith("Retinanet on parts of the data, seeds 0, 1:")
    rows = [re.split(r" *\| *", line)[1:-1] for line in text.splitlines()[4:]]
    assert rows == [
        ["100 %", "", "10 ± 0", "31.0 ± 1.4", ""],
        ["70 %", "random", "10 ± 0", "21.0 ± 1.4", ""],
        ["70 %", "variance", "10 ± 0", "22.0 ± 1.4", "+1.0 [+1.0, +1.0]"],
        ["50 %", "random", "10 ± 0", "11.0 ± 1.4", ""],
        ["50 %", "variance", "10 ± 0", "11.2 ± 1.8", "+0.2 [-2.9, +3.4], undecided"],
    ]
