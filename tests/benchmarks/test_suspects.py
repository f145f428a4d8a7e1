"""benchmarks/suspects.py: the truth, the data of suspicions, and their ratings."""

import itertools
import json
import re
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from imbdet.config import load_config
from imbdet.records.ledger import Ledger
from imbdet.records.ledger_columns import TABLES
from imbdet.records.ledger_rows import LedgerRows
from tests.suspects.factories import add_place
from tests.test_configs import CONFIGS

KINDS = ["wrong class", "badly placed", "missing", "duplicate"]


@pytest.fixture
def programs(monkeypatch):
    """The modules of the benchmark."""
    monkeypatch.syspath_prepend(str(CONFIGS.parent / "benchmarks"))
    import planted
    import results_table
    import suspects
    import suspicions

    return SimpleNamespace(
        planted=planted, results_table=results_table, suspects=suspects, suspicions=suspicions
    )


@pytest.fixture
def content():
    """Two images with every kind of fault, and a crowd."""

    def note(key, image, category, box, **fields):
        fields = {"true_category_id": category, "iscrowd": 0, **fields}
        return {"id": key, "image_id": image, "category_id": category, "bbox": box, **fields}

    return {
        "images": [
            {"id": 1, "width": 60, "height": 60, "missing": []},
            {"id": 2, "width": 60, "height": 60, "missing": [note(4, 2, 1, [0, 0, 5, 5])]},
        ],
        "categories": [{"id": 1, "name": "circle"}, {"id": 2, "name": "square"}],
        "annotations": [
            note(1, 1, 1, [0, 0, 10, 10]),
            note(2, 1, 2, [0, 0, 10, 10], true_category_id=1),
            note(3, 2, 1, [2, 2, 4, 4], true_bbox=[3, 3, 4, 4]),
            note(5, 2, 1, [0, 0, 50, 50], iscrowd=1),
            note(6, 1, 1, [0, 0, 10, 5], duplicate_of=1),
        ],
    }


@pytest.fixture
def traces(programs, content, tmp_path):
    path = tmp_path / "train.json"
    path.write_text(json.dumps(content))
    planted = programs.planted.Planted.read(path)
    write_ledger(tmp_path, content)
    ledger = programs.suspicions.Ledger.read(tmp_path, planted)
    detections = [
        {"image_id": 2, "category_id": 1, "bbox": [3, 3, 4, 4], "score": 0.75},
        {"image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5},
    ]
    (tmp_path / "detections.json").write_text(json.dumps(detections))
    return programs.suspicions.Traces(planted, ledger, ledger, tmp_path / "detections.json")


def write_ledger(folder, content):
    """Write a ledger in another order than the file: the second image first.

    Object 1 is nearly said to be a square.
    """
    records = [
        {
            "dataset_name": "shapes_train",
            "image_id": image["id"],
            "annotations": [
                {
                    "id": note["id"],
                    "category_id": note["category_id"] - 1,
                    "iscrowd": note["iscrowd"],
                }
                for note in content["annotations"]
                if note["image_id"] == image["id"]
            ],
        }
        for image in reversed(content["images"])
    ]
    ledger = Ledger(5, 2)  # objects 3, 5, 1, 2, 6
    judged = torch.tensor([4, 0, 4, 4, 4])
    ledger.objects["judged"][:] = ledger.objects["positives"][:] = judged
    ledger.objects["score"][:] = torch.tensor([0.3, 0, 0.1, 0.5, 0.6]) * judged
    ledger.objects["rival"][:] = torch.tensor([0.25, 0, 0.75, 0.5, 0.25]) * judged
    ledger.objects["wrong"][:] = torch.tensor([0, 0, 3, 2, 1])
    ledger.images["seen"][0] = 4
    add_place(ledger.images, 0, 0, label=0, sights=2, score=0.6, box=(52.0, 52, 58, 58))
    (folder / "ledger").mkdir()
    for name, to_table in TABLES.items():
        table = to_table(ledger, LedgerRows(records), {})
        pq.write_table(table, folder / "ledger" / f"{name}.parquet")


def test_truth_of_each_kind(traces):
    truth = {kind: traces.planted.truth(kind).tolist() for kind in KINDS}
    assert truth == {
        "wrong class": [False, True, False, False],
        "badly placed": [False, False, True, False],
        "missing": [False, True],
        "duplicate": [True, False, False, True],
    }


def test_ledger_has_the_order_of_the_file(traces):
    assert traces.ledger.objects["id"].to_list() == ["1", "2", "3", "6"]
    assert traces.ledger.objects["score_mean"].to_list() == pytest.approx([0.1, 0.5, 0.3, 0.6])
    assert traces.ledger.images["image_id"].to_list() == ["1", "2"]


def test_scores_are_those_of_clean(programs, traces):
    found = {
        kind: suspicions["ledger: imbdet clean"](traces).tolist()
        for kind, suspicions in programs.suspicions.SUSPICIONS.items()
    }
    parts = [0.75, 0.5, 0, 0.25]  # no other class was said of object 3
    assert found["wrong class"] == pytest.approx([part * 4 / 5 for part in parts])
    assert found["badly placed"] == [0, 0, 0, 0]
    assert found["missing"] == pytest.approx([0, 0.6 * (2 / 4) ** 0.5])
    assert found["duplicate"] == pytest.approx([0.5, 0, 0, 0.5])


def test_overlaps_are_of_the_same_class_and_image(traces):
    np.testing.assert_allclose(traces.overlaps, [0.5, 0, 0, 0.5])


def test_cleanlab_gets_corners_by_image_and_class(traces):
    inputs = traces.cleanlab_inputs
    first, second = inputs["labels"]
    assert first["bboxes"].tolist() == [[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 5]]
    assert first["labels"].tolist() == [0, 1, 0]
    assert second["bboxes"].tolist() == [[2, 2, 6, 6]]
    nothing, found = inputs["predictions"]
    assert [rows.shape for rows in nothing] == [(0, 5), (0, 5)]
    assert found[0].tolist() == [[3, 3, 7, 7, 0.75], [1, 2, 4, 6, 0.5]]
    assert found[1].shape == (0, 5)


def test_values_of_images_come_back_in_the_order_of_objects(traces):
    of_images = [np.array([1.0, 2.0, 3.0]), np.array([4.0])]
    assert traces.by_object(of_images).tolist() == [1.0, 2.0, 4.0, 3.0]


@pytest.mark.parametrize("seed", range(20))
def test_rates_are_those_of_the_definition(programs, seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 3, 7).astype(float)
    values[rng.random(7) < 0.2] = np.nan
    truth = rng.permutation([True] * 3 + [False] * 4)
    known = np.where(np.isnan(values), -1, values)
    pairs = [(a > b) + (a == b) / 2 for a in known[truth] for b in known[~truth]]
    precisions = []
    for order in itertools.permutations(range(7)):
        best = sorted(order, key=lambda k: -known[k])[:3]
        precisions.append(np.mean(truth[best]))
    expected = {
        "AUROC": pytest.approx(np.mean(pairs)),
        "precision": pytest.approx(np.mean(precisions)),
    }
    assert programs.suspects.rate(values, truth) == expected
    classes = rng.permutation([0] * 5 + [1] * 2)
    within = [
        (known[a] > known[b]) + (known[a] == known[b]) / 2
        for a, b in itertools.product(truth.nonzero()[0], (~truth).nonzero()[0])
        if classes[a] == classes[b]
    ]
    expected["within a class"] = pytest.approx(np.mean(within))
    assert programs.suspects.rate(values, truth, classes) == expected


def test_tables_have_a_row_for_each_suspicion(programs):
    rates = {"AUROC": 0.75, "precision": 0.5}
    kinds = {
        kind: {"faults": 5, "of": 50, "suspicions": dict.fromkeys(suspicions, rates)}
        for kind, suspicions in programs.suspicions.SUSPICIONS.items()
    }
    assert list(kinds) == KINDS
    aps = ({"true": 20.0, "faulty": 10.0}, {"true": 21.0, "faulty": 11.0})
    runs = [{"seed": seed, "kinds": kinds, "AP": ap} for seed, ap in enumerate(aps, 1)]
    text = programs.results_table.format_table({"detectors": {"retinanet": runs}})
    assert "Retinanet, images with missing objects (10.0 ± 0.0 %), seeds 1, 2:" in text
    for name in itertools.chain.from_iterable(programs.suspicions.SUSPICIONS.values()):
        assert re.search(rf"^\| {re.escape(name)} +\| 0.75 ± 0.00 +\| 0.50 ± 0.00 +\|$", text, re.M)
    *_, remedies = text.partition("Retinanet, AP by what is done about the faults, seeds 1, 2:")
    assert [re.split(r" *\| *", line)[1:-1] for line in remedies.splitlines()[4:]] == [
        ["faulty", "10.5 ± 0.7", ""],
        ["true", "20.5 ± 0.7", "+10.0 [+10.0, +10.0]"],
    ]


def test_an_epoch_follows_on_the_training(programs, tmp_path):
    opts = ["DATASETS.SHAPES.NUM_TRAIN", "10"]
    setting = programs.suspects.SETTING
    trial = programs.suspects.Trial(setting, "faster_rcnn", 3, opts, tmp_path)
    faulty, epoch = trial._faulty, trial._last_epoch
    assert faulty.folder == tmp_path / "faster_rcnn" / "seed_3" / "faulty"
    assert faulty.overrides == [
        *("DATASETS.SHAPES.NUM_TRAIN", "10", "SEED", "3", "DATASETS.SHAPES.SEED", "3"),
        *("LEDGER.ENABLED", "True"),
    ]
    cfg = load_config(*map(str, epoch.files), opts=epoch.overrides)
    assert str(faulty.folder / "model_final.pth") == cfg.MODEL.WEIGHTS
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.BASE_LR) == (3, 0.0)
    assert (
        cfg.DATASETS.SHAPES
        == load_config(*map(str, faulty.files), opts=faulty.overrides).DATASETS.SHAPES
    )
