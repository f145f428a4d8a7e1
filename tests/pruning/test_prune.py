"""``imbdet prune`` on small runs: kept images and objects, reasons, and refusals."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from imbdet.cli import main
from imbdet.data.coco_records import load_coco_records
from imbdet.data.summary import summarize
from imbdet.pruning.run_pruning import new_files
from imbdet.pruning.scores import SCORES
from imbdet.records.ledger import Ledger
from imbdet.records.ledger_columns import TABLES
from imbdet.records.ledger_rows import LedgerRows
from tests.messages import assert_says, error_of

NUM_IMAGES, RARE = 20, 19


def content():
    """Images with two objects each, common ones except for a rare one, and a crowd."""
    images = [
        {"id": k, "file_name": f"{k}.png", "width": 64, "height": 64, "licence": 1}
        for k in range(NUM_IMAGES)
    ]
    notes = [
        {"id": 10 * k + j, "image_id": k, "category_id": 1, "bbox": [5, 5 + j, 9, 9], "weight": 2.0}
        for k in range(NUM_IMAGES)
        for j in range(2)
    ]
    notes[2 * RARE]["category_id"] = 5
    notes.append({"id": 999, "image_id": 3, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 1})
    categories = [{"id": 1, "name": "common"}, {"id": 5, "name": "rare"}]
    return {"images": images, "annotations": notes, "categories": categories}


@pytest.fixture
def run(tmp_path):
    """The folder of a run whose ledger has judged every object, image by image harder."""
    json_file = tmp_path / "train.json"
    json_file.write_text(json.dumps(content()))
    folder = tmp_path / "run"
    (folder / "ledger").mkdir(parents=True)
    entry = {"NAME": "toy", "JSON": str(json_file), "IMAGES": str(tmp_path)}
    datasets = {"COCO": [entry], "TRAIN": ["toy"], "TEST": []}
    (folder / "config.yaml").write_text(yaml.safe_dump({"DATASETS": datasets}))
    records = load_coco_records(str(json_file), str(tmp_path), "toy_records")
    rows = LedgerRows({**record, "dataset_name": "toy"} for record in records)
    write_ledger(folder, rows, fill(rows), summarize(records).fingerprint)
    return folder


def fill(rows):
    number = len(rows.object_ids)
    ledger = Ledger(number, len(rows.image_ids))
    images = torch.arange(len(rows.image_ids)).repeat_interleave(torch.tensor(rows.num_objects))
    is_object = torch.from_numpy(~rows.is_ignored)
    own = ledger.objects
    own["seen"][:] = own["positives"][is_object] = own["judged"][is_object] = 10
    own["learnt"][is_object] = 9
    own["is_learnt"][is_object] = True
    own["forgotten"][:] = images.int()
    own["score"][:] = 10 - images / 4.0
    own["cls_loss_square"][:] = images * 1.0
    return ledger


def write_ledger(folder, rows, ledger, fingerprint):
    metadata = {"data": json.dumps({"toy": fingerprint})}
    for name, to_table in TABLES.items():
        table = to_table(ledger, rows, metadata)
        pq.write_table(table, folder / "ledger" / f"{name}.parquet")


def prune(run, *options):
    output = run.parent / "pruned"
    status = main(["prune", str(run), "--output", str(output), *options])
    return status, output


def read(output, unit="images"):
    with open(output / f"{unit}.csv", newline="") as file:
        return json.loads((output / "toy.json").read_text()), list(csv.DictReader(file))


@pytest.mark.parametrize("by", sorted(SCORES))
def test_images_that_matter_are_kept_with_all_that_belongs_to_them(run, by, capsys):
    before = (run.parent / "train.json").read_text()
    status, output = prune(run, "--keep", "0.5", "--by", by, "--per-class", "1")
    assert status == 0
    kept, table = read(output)
    assert (run.parent / "train.json").read_text() == before
    ids = {image["id"] for image in kept["images"]}
    assert len(ids) == 10
    assert RARE in ids
    everything = content()
    assert kept["images"] == [image for image in everything["images"] if image["id"] in ids]
    notes = [note for note in everything["annotations"] if note["image_id"] in ids]
    assert kept["annotations"] == notes
    assert kept["categories"] == everything["categories"]
    assert {row["image_id"] for row in table if row["is_kept"] == "True"} == set(map(str, ids))
    assert len(table) == NUM_IMAGES
    assert table[RARE]["reason"] == "needed for the class 'rare'"
    assert table[2]["facts"] == "2 objects, 2 forgotten"
    said = capsys.readouterr().out
    assert_says(said, "common", "rare", "toy.json", "images.csv")


def test_objects_that_are_left_out_are_ignored_and_not_background(run):
    status, output = prune(run, "--keep", "0.3", "--unit", "objects", "--per-class", "1")
    assert status == 0
    kept, table = read(output, "objects")
    assert kept["images"] == content()["images"]
    ignored = {note["id"] for note in kept["annotations"] if note.get("ignore")}
    assert len(ignored) == 28
    assert all("weight" not in note for note in kept["annotations"] if note["id"] in ignored)
    others = [note for note in kept["annotations"] if note["id"] not in ignored]
    assert others == [note for note in content()["annotations"] if note["id"] not in ignored]
    assert {row["id"] for row in table if row["is_kept"] == "False"} == set(map(str, ignored))
    load_coco_records(str(output / "toy.json"), str(output), "toy_pruned")


def test_a_doubtful_label_is_not_what_is_kept_first(run):
    status, output = prune(run, "--keep", "0.1", "--by", "forgetting", "--per-class", "1")
    assert status == 0
    plain = {row["image_id"]: float(row["score"]) for row in read(output)[1]}
    table = pq.read_table(run / "ledger" / "objects.parquet")
    rivals = [float(image_id == "18") for image_id in table["image_id"].to_pylist()]
    index = table.schema.get_field_index("rival_mean")
    table = table.set_column(index, "rival_mean", pa.array(rivals))
    pq.write_table(table, run / "ledger" / "objects.parquet")
    prune(run, "--keep", "0.1", "--by", "forgetting", "--per-class", "1")
    doubted = {row["image_id"]: row for row in read(output)[1]}
    assert float(doubted["18"]["score"]) < 0.2 * plain["18"]
    assert float(doubted["17"]["score"]) == plain["17"]
    assert "2 with a class in doubt" in doubted["18"]["facts"]


def test_scores_are_those_of_their_definitions():
    columns = {
        "judged": np.array([4.0, 4, 4, 0]),
        "learnt": np.array([2.0, 4, 0, 0]),
        "forgotten": np.array([2.0, 0, 0, 0]),
        "score_mean": np.array([0.5, 0.9, 0.1, np.nan]),
        "cls_loss_variance": np.array([1.0, 2, 3, np.nan]),
        "box_loss_variance": np.array([0.0, 30, 0, np.nan]),
    }
    expected = {
        "forgetting": [2, 0, 3, np.nan],
        "error": [0.5, 0.1, 0.9, np.nan],
        "variance": [0.5, 4, 1.5, np.nan],
        "random": [0, 0, 0, 0],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(SCORES[name](columns), values)
    columns["cls_loss_variance"][:] = np.nan  # losses of a ranking
    np.testing.assert_allclose(SCORES["variance"](columns), [0, 3, 0, np.nan])


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--keep", "0"], ["--keep is 0.0", "at most 1"]),
        (["--keep", "nan"], ["--keep is nan"]),
        (["--keep", "0.5", "--by", "forgeting"], ["'forgeting'", "'forgetting'"]),
        (["--keep", "0.5", "--per-class", "-1"], ["--per-class is -1"]),
        (["--keep", "0.05", "--per-class", "9"], ["1 image", "--per-class"]),
    ],
    ids=["nothing", "nan", "score", "floor", "conflict"],
)
def test_options_that_make_no_sense_are_named(run, options, parts, capsys):
    assert prune(run, *options)[0] == 2
    assert_says(capsys.readouterr().err, *parts)


def test_no_file_of_the_training_is_written_over(tmp_path):
    """Nor is one of another data set, nor the new file of a data set by that of another."""
    sources = {"a": tmp_path / "data" / "a.json", "b": tmp_path / "pruned" / "a.json"}
    message = error_of(new_files, tmp_path / "pruned", sources)
    assert_says(message, str(sources["b"]), "stays as it is", "--output")
    alike = {"x/y": tmp_path / "a.json", "x_y": tmp_path / "b.json"}
    assert_says(error_of(new_files, tmp_path / "pruned", alike), "'x/y'", "'x_y'", "x_y.json")


def test_facts_are_told_in_the_singular_too(run):
    prune(run, "--keep", "1", "--unit", "objects")
    _, table = read(run.parent / "pruned", "objects")
    facts = [row["facts"] for row in table]
    assert facts[2] == "forgotten 1 time"
    assert facts[4] == "forgotten 2 times"


def test_other_runs_and_data_are_refused(run, capsys):
    def said(*options):
        assert prune(run, "--keep", "0.5", *options)[0] == 2
        text = capsys.readouterr().err
        assert len(text.splitlines()) == 1
        return text

    json_file = run.parent / "train.json"
    source = run.parent / "toy.json"
    json_file.rename(source)
    settings = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(settings.replace("train.json", "toy.json"))
    before = source.read_text()
    assert_says(said("--output", str(run.parent)), "toy.json", "stays as it is")
    assert source.read_text() == before
    assert_says(said("--output", str(run)), "holds a run")
    assert_says(said("--output", str(source)), str(source), "cannot be written to", "--output")
    other = content()
    other["annotations"][0]["bbox"][0] = 6
    source.write_text(json.dumps(other))
    assert_says(said(), "'toy'", "have changed", str(run))
    source.write_text(before)
    table = pq.read_table(run / "ledger" / "objects.parquet")
    for data, part in (("", "no ledger"), ("{}", "no ledger"), ('{"x": ""}', "'x'")):
        pq.write_table(
            table.replace_schema_metadata({"data": data}), run / "ledger" / "objects.parquet"
        )
        assert_says(said(), part)
    (run / "ledger" / "objects.parquet").write_bytes(b"PAR1")
    assert_says(said(), "objects.parquet", "damaged")
    (run / "ledger" / "objects.parquet").unlink()
    assert_says(said(), "no ledger", "LEDGER.ENABLED")
    (run / "config.yaml").unlink()
    assert_says(said(), "is no run")
