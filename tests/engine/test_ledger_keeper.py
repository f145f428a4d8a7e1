"""The ledger of a training agrees with full records of all processes, also after a resume."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import pairwise
from types import SimpleNamespace

import polars as pl
import pyarrow.parquet as pq
import pytest
import torch

import train_net
from imbdet.data.augmentation import build_train_mapper
from imbdet.records.ledger import Ledger
from imbdet.records.ledger_columns import TABLES
from imbdet.records.ledger_rows import LedgerRows
from tests.data.test_augmentation import make_cfg, make_record, mapped
from tests.engine.jobs import SMALL
from tests.messages import assert_says, error_of
from tests.modeling.conftest import small_config
from tests.test_train_net import CONFIGS

# isort: split
from imbdet.engine.ledger_keeper import LedgerKeeper
from imbdet.modeling import build_model

pytestmark = pytest.mark.usefixtures("restored_loggers", "own_datasets")

LEDGER = {"LEDGER.ENABLED": True}
FULL_RECORDS = {"RECORD.PERIOD": 1, "RECORD.NUM_RANDOM_NEGATIVES": 10**6}
SIZE = {"MODEL.ROI_BOX_HEAD.FC_DIM": 32, "SOLVER.IMS_PER_BATCH": 2, "SOLVER.MAX_ITER": 7}
BENCHMARKS = CONFIGS.parent / "benchmarks"
PAGE = CONFIGS.parent / "docs" / "ledger.md"


def train(name, folder, *flags, **keys):
    keys = {
        **SMALL,
        **SIZE,
        "DATASETS.TEST": "()",
        "SEED": 1,
        "OUTPUT_DIR": folder,
        **LEDGER,
        **keys,
    }
    pairs = [str(x) for pair in keys.items() for x in pair]
    config = CONFIGS / "quick_start" / f"{name}.yaml"
    assert train_net.main(["--config-file", str(config), *flags, *pairs]) == 0


def read(folder):
    return {name: pq.read_table(folder / "ledger" / f"{name}.parquet") for name in TABLES}


def annotations(datasets_dir):
    """The ids of the annotations of each image that are shown as objects, in their order."""
    (folder,) = datasets_dir.glob("shapes-*")
    content = json.loads((folder / "annotations" / "train.json").read_text())
    shown = {str(image["id"]): [] for image in content["images"]}
    for note in content["annotations"]:
        if not note["iscrowd"]:
            shown[str(note["image_id"])].append(str(note["id"]))
    return shown, {str(note["id"]) for note in content["annotations"]}


def objects_of_records(rows, shown):
    """The ledger's columns of each object, from all samples that a training recorded."""
    weight = pl.col("weight") * pl.col("cls_weight")
    rows = rows.with_columns(gradient=pl.col("grad_norm") * weight)
    sights, positives = Counter(), defaultdict(lambda: defaultdict(list))
    for image_id, _ in rows.select("image_id", "iteration").unique().iter_rows():
        sights.update(shown[image_id])
    for row in rows.filter("is_positive").iter_rows(named=True):
        object_id = shown[row["image_id"]][row["gt_id"]]
        positives[object_id][row["iteration"]].append(row)
    total = rows.filter("is_positive")["gradient"].sum()
    return {
        object_id: of_object(sights[object_id], positives[object_id], total)
        for object_ids in shown.values()
        for object_id in object_ids
    }


def of_object(num_sights, by_iteration, total):
    every = [row for _, rows in sorted(by_iteration.items()) for row in rows]
    best = [max(rows, key=lambda row: row["score"]) for _, rows in sorted(by_iteration.items())]
    right = [row["pred_class"] == row["class"] and row["pred_iou"] >= 0.5 for row in best]
    wrong = Counter(row["pred_class"] for row in best if row["pred_class"] != row["class"])
    known = {
        "seen": num_sights,
        "positives": len(every),
        "judged": len(best),
        "learnt": sum(right),
        "forgotten": sum(a and not b for a, b in pairwise(right)),
        "first_learnt": best[right.index(True)]["iteration"] if any(right) else None,
        "is_learnt": right[-1] if right else None,
        "wrong": wrong.total(),
        "gradient_share": sum(row["gradient"] for row in every) / total,
    }
    frame = pl.DataFrame(every, infer_schema_length=None) if every else None
    for name, column in (("score", "score"), ("iou", "pred_iou")):
        known[f"{name}_best"] = None if frame is None else frame[column].max()
        known[f"{name}_mean"] = None if frame is None else frame[column].mean()
    for name in ("cls_loss", "box_loss"):
        known[f"{name}_mean"] = None if frame is None else frame[name].mean()
        known[f"{name}_variance"] = None if frame is None else frame[name].var(ddof=0)
    return known


def images_of_records(rows):
    """The ledger's columns of each image, from all samples that a training recorded."""
    cls = pl.col("cls_loss") * pl.col("weight") * pl.col("cls_weight")
    box = pl.col("box_loss") * pl.col("weight") * pl.col("box_weight")
    loss = cls + box.fill_null(0.0)
    is_far = ~pl.col("is_positive") & (pl.col("iou") == 0)
    sights = rows.group_by("image_id", "iteration").agg(
        loss=loss.cast(pl.Float64).sum(), background=pl.col("score").filter(is_far).max()
    )
    images = sights.group_by("image_id").agg(
        seen=pl.len(),
        background_best=pl.col("background").max(),
        background_mean=pl.col("background").mean(),
        loss_share=pl.col("loss").sum() / sights["loss"].sum(),
    )
    return {row.pop("image_id"): row for row in images.to_dicts()}


def assert_close(row, expected):
    for name, value in expected.items():
        close = value if value is None else pytest.approx(value, rel=1e-4, abs=1e-6)
        assert row[name] == close, name


def assert_says_what_records_say(folder, site, datasets_dir):
    rows = pl.read_parquet(folder / "records" / "samples" / "*.parquet").filter(site=site)
    shown, all_ids = annotations(datasets_dir)
    tables = read(folder)
    found = {row["id"]: row for row in tables["objects"].to_pylist()}
    assert found.keys() == all_ids
    for object_id, expected in objects_of_records(rows, shown).items():
        assert_close(found[object_id], expected)
    ignored = all_ids - {object_id for of_image in shown.values() for object_id in of_image}
    assert ignored == {object_id for object_id, row in found.items() if row["is_ignored"]}
    assert {found[object_id]["seen"] for object_id in ignored} <= {0}
    images = {row["image_id"]: row for row in tables["images"].to_pylist()}
    for image_id, expected in images_of_records(rows).items():
        assert_close(images[image_id], expected)
    assert_places_are_possible(tables["places"].to_pylist(), images)
    return found


def assert_places_are_possible(places, images):
    assert places
    for place in places:
        image = images[place["image_id"]]
        assert 1 <= place["sights"] <= image["seen"]
        assert 0 < place["lead"] <= place["votes"] + 1e-6
        assert place["x0"] < place["x1"]
        assert place["y0"] < place["y1"]


@pytest.mark.parametrize(
    ("name", "site", "keys"),
    [
        ("retinanet", "retinanet", {"MODEL.CLASS_WEIGHTS": "{'square': 0.0, 'circle': 2.0}"}),
        ("faster_rcnn", "roi_heads", {"MODEL.WEIGHTING.NAMES": "['isr_p']"}),
        ("cascade_rcnn", "roi_heads_stage0", {}),
    ],
)
def test_says_what_full_records_say(name, site, keys, datasets_dir, tmp_path):
    train(name, tmp_path, **FULL_RECORDS, **keys)
    found = assert_says_what_records_say(tmp_path, site, datasets_dir)
    if "MODEL.CLASS_WEIGHTS" in keys:
        squares = [row for row in found.values() if row["class"] == 1 and row["seen"]]
        assert squares
        assert {row["positives"] for row in squares} == {0}


def test_two_processes_sum_up_as_one(datasets_dir, tmp_path):
    keys = {**FULL_RECORDS, "SOLVER.CHECKPOINT_PERIOD": 3, "SOLVER.IMS_PER_BATCH": 4}
    train("retinanet", tmp_path, "--num-processes", "2", **keys)
    assert_says_what_records_say(tmp_path, "retinanet", datasets_dir)


def test_a_resumed_training_has_the_same_ledger(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    keys = {"SOLVER.CHECKPOINT_PERIOD": 3, "SOLVER.MAX_ITER": 7}
    train("faster_rcnn", whole, **keys)
    shutil.copytree(whole, parts)
    # After a kill there are files of later iterations than the checkpoint.
    for checkpoint in ("model_final.pth", "model_0000005.pth"):
        (parts / checkpoint).unlink()
    (parts / "last_checkpoint").write_text("model_0000002.pth")
    train("faster_rcnn", parts, "--resume", **keys)
    expected = read(whole)
    for name, table in read(parts).items():
        assert table.equals(expected[name], check_metadata=True)
    metadata = expected["objects"].schema.metadata
    run = json.loads((whole / "run.json").read_text())[-1]
    fingerprint = run["data"]["annotations"]["shapes_train"]["fingerprint"]
    assert json.loads(metadata[b"data"]) == {"shapes_train": fingerprint}
    assert metadata[b"first_iteration"] == b"0"
    # With other annotations the ledger begins anew.
    train(
        "faster_rcnn", parts, "--resume", **keys | {"SOLVER.MAX_ITER": 8, "DATASETS.SHAPES.SEED": 1}
    )
    again = read(parts)["images"]
    assert again.schema.metadata[b"first_iteration"] == b"7"
    assert sum(again["seen"].to_pylist()) == 2


KILLS = """
import functools, signal, sys
from pathlib import Path

import failing

folder, numbers = Path(sys.argv[1]), map(int, sys.argv[2:])
failing.KEYS.update(eval(sys.stdin.read()))
for number in numbers:
    fault = functools.partial(failing.die_in_step, number)
    assert failing.train(folder, "--resume", fault=fault) == -signal.SIGKILL
sys.exit(failing.train(folder, "--resume"))
"""


def test_says_what_full_records_say_after_five_kills(tmp_path):
    keys = {
        **FULL_RECORDS,
        "DATASETS.TEST": "()",
        "SOLVER.MAX_ITER": 14,
        "SOLVER.CHECKPOINT_PERIOD": 2,
        "SEED": 1,
        # Records do not distinguish two sights of an image in one batch, which the ledger counts.
        "DATALOADER.SAMPLER_TRAIN": "TrainingSampler",
    }
    # In a process that has never computed a gradient: others cannot be forked for trainings.
    command = [sys.executable, "-c", KILLS, tmp_path / "run", *map(str, (1, 3, 2, 5, 3))]
    path = f"{BENCHMARKS}{os.pathsep}{BENCHMARKS.parent}"
    environment = {**os.environ, "PYTHONPATH": path, "DETECTRON2_DATASETS": str(tmp_path)}
    result = subprocess.run(
        command, input=repr(keys), env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert_says_what_records_say(tmp_path / "run", "retinanet", tmp_path)


def test_a_training_is_the_same_with_the_ledger_and_without(tmp_path):
    states = []
    for is_kept in (True, False):
        folder = tmp_path / str(is_kept)
        train("faster_rcnn", folder, **{"LEDGER.ENABLED": is_kept, "SOLVER.MAX_ITER": 2})
        assert (folder / "ledger").exists() == is_kept
        states.append(torch.load(folder / "model_final.pth", weights_only=True)["model"])
    assert all(torch.equal(values, states[1][name]) for name, values in states[0].items())


def test_the_page_asks_it(tmp_path):
    rows = LedgerRows(
        {"file_name": "a.png", "image_id": i, "dataset_name": "x", "annotations": notes}
        for i, notes in enumerate([[{"id": 3, "category_id": 1}, {"id": 9, "category_id": 0}], []])
    )
    ledger = Ledger(2, 2)
    for name, value in {"judged": 5, "rival": 5.0, "wrong_class": 2, "wrong_lead": 5}.items():
        ledger.objects[name][0] = value
    for name, to_table in TABLES.items():
        pq.write_table(to_table(ledger, rows, {}), tmp_path / f"{name}.parquet")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names = {}
    exec(code.replace("output/faster_rcnn/ledger", str(tmp_path)), names)
    assert names["doubtful"].select("id", "class", "wrong_class").rows() == [("3", 1, 2)]


@pytest.mark.parametrize(
    "keys",
    [
        ["INPUT.AUGMENTATION", ""],
        ["INPUT.AUGMENTATION", "", "INPUT.CROP.ENABLED", True, "INPUT.CROP.SIZE", [0.5, 0.5]],
        ["INPUT.AUGMENTATION", "ssd"],
    ],
    ids=["resized", "cropped", "ssd"],
)
def test_objects_keep_their_places_through_augmentation(keys, tmp_path):
    boxes = [(0, 0, 9, 9), (5, 5, 45, 35), (50, 30, 58, 38), (20, 2, 40, 12)]
    record = make_record(tmp_path, boxes)
    for note, is_crowd in zip(record["annotations"], (False, True, False, False), strict=True):
        note["iscrowd"] = int(is_crowd)
    mapper = build_train_mapper(make_cfg("LEDGER.ENABLED", True, *keys))
    found = Counter()
    for seed in range(30):
        item = mapped(mapper, record, seed)
        places = item["instances"].gt_places.tolist()
        corners = item["instances"].gt_boxes.tensor.view(-1, 2, 2)
        corners = (corners * item["to_file"][0] + item["to_file"][1]).mean(dim=1)
        for place, (x, y) in zip(places, corners.tolist(), strict=True):
            x0, y0, x1, y1 = boxes[place]
            assert x0 - 0.01 <= x <= x1 + 0.01
            assert y0 - 0.01 <= y <= y1 + 0.01
        found.update(places)
    assert found.keys() == {0, 2, 3}
    is_cropped = keys != ["INPUT.AUGMENTATION", ""]
    assert (min(found.values()) < 30) == is_cropped


def test_off_tells_no_places(tmp_path):
    item = build_train_mapper(make_cfg())(make_record(tmp_path, [(0, 0, 9, 9)]))
    assert not item["instances"].has("gt_places")


def test_annotations_without_ids_are_named():
    note = {"category_id": 0, "bbox": [0, 0, 1, 1]}
    record = {"file_name": "a.png", "image_id": 1, "dataset_name": "x", "annotations": [note]}
    assert_says(error_of(LedgerRows, [record]), "LEDGER.ENABLED", "'a.png'", "'x'", "'id'")


def test_images_and_ids_of_several_data_sets_may_be_alike():
    note = {"category_id": 0, "id": 7}
    record = {"file_name": "a.png", "image_id": 1, "annotations": [note, note]}
    rows = LedgerRows([{**record, "dataset_name": name} for name in ("x", "y")])
    assert rows.of_images([{"dataset_name": "y", "image_id": 1}]).tolist() == [1]
    assert rows.datasets == ["x", "y"]
    assert rows.object_ids == ["7"] * 4
    fewer = LedgerRows([{**record, "dataset_name": "x"}])
    assert rows.fingerprint != fewer.fingerprint


def test_where_a_table_cannot_be_written_all_stay_as_they_were(tmp_path, monkeypatch):
    cfg = small_config("retinanet", "OUTPUT_DIR", str(tmp_path))
    keeper = LedgerKeeper(cfg, build_model(cfg))
    record = {"file_name": "a.png", "image_id": 1, "dataset_name": "x", "annotations": []}
    loader = SimpleNamespace(records=[record], summary=SimpleNamespace(annotations={}))
    keeper.trainer = SimpleNamespace(start_iter=0, iter=0, data_loader=loader)
    keeper.before_train()
    keeper.after_train()
    paths = sorted((tmp_path / "ledger").iterdir())
    assert [path.stem for path in paths] == sorted(TABLES)
    before = [path.read_bytes() for path in paths]
    write, written = pq.write_table, []

    def fail_at_the_last(table, path, **options):
        written.append(path)
        if len(written) == len(TABLES):
            raise OSError(28, "No space left on device")
        write(table, path, **options)

    monkeypatch.setattr(pq, "write_table", fail_at_the_last)
    keeper._ledger.images["seen"][:] = 7
    assert_says(error_of(keeper.after_train), "cannot be written: No space left on device")
    assert [path.read_bytes() for path in paths] == before
    assert sorted((tmp_path / "ledger").iterdir()) == paths


def test_a_model_that_tells_nothing_is_refused():
    cfg = small_config("retinanet", "MODEL.META_ARCHITECTURE", "RetinaNet")
    message = error_of(LedgerKeeper, cfg, build_model(cfg))
    assert_says(message, "LEDGER.ENABLED", "'RetinaNet'", "ImbRetinaNet, ImbDense, ImbROIHeads")
