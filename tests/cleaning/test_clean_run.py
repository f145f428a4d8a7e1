"""``imbdet clean``, in process, on a run with known contents."""

import json
import math
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import imbdet.compat  # noqa: F401  (before detectron2)

# isort: split
from imbdet.cli import main
from imbdet.config import load_config
from imbdet.data.coco_records import load_coco_records
from imbdet.data.summary import summarize
from imbdet.data.weights import weigh_records
from imbdet.report import write_report
from tests.messages import assert_says
from tests.report.test_report import Page
from tests.suspects.factories import CLASSES, DATASET, NOTES, make_content, make_tables

pytestmark = pytest.mark.usefixtures("restored_loggers")


def write_ledger(folder, fingerprint, dataset=DATASET):
    data = json.dumps({dataset: fingerprint})
    (folder / "ledger").mkdir(exist_ok=True)
    for name, table in make_tables({"data": data}).items():
        pq.write_table(table, folder / "ledger" / f"{name}.parquet")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with images, annotations and a run, with spaces in its name."""
    folder = tmp_path_factory.mktemp("a b")
    (folder / "images").mkdir()
    for image in NOTES:
        Image.new("RGB", (100, 100), "teal").save(folder / "images" / f"image {image}.png")
    (folder / "train.json").write_text(json.dumps(make_content()))
    run = folder / "run 1"
    run.mkdir()
    entry = {"NAME": DATASET, "JSON": str(folder / "train.json"), "IMAGES": str(folder / "images")}
    opts = ["DATASETS.COCO", [entry], "DATASETS.TRAIN", (DATASET,), "DATASETS.TEST", ()]
    (run / "config.yaml").write_text(load_config(opts=opts).dump())
    records = load_coco_records(entry["JSON"], entry["IMAGES"], "toy_of_test")
    write_ledger(run, summarize(records).fingerprint)
    start = {"task": "training", "data": {"classes": CLASSES, "category_ids": [10, 20, 30]}}
    start["data"]["annotations"] = {}
    (run / "run.json").write_text(json.dumps([start]))
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """A copy, whose config names the same images and annotations in the copy."""
    copied = tmp_path / "c d"
    shutil.copytree(made, copied)
    config = copied / "run 1" / "config.yaml"
    config.write_text(config.read_text().replace(str(made), str(copied)))
    return copied


def clean(folder, *options):
    return main(["clean", str(folder / "run 1"), *map(str, options)])


def test_writes_everything_beside_the_annotations(folder, capsys):
    before = (folder / "train.json").read_bytes()
    assert clean(folder) == 0
    assert (folder / "train.json").read_bytes() == before
    out = capsys.readouterr().out
    assert "wrong class, 1 listed" in out
    assert "'fish <b>' at 7 of them or more" in out
    output = folder / "run 1" / "clean"
    written = {path.name for path in output.iterdir()}
    names = {"cleaned.json", "label_studio.json", "fiftyone.json", "suspects.html", "crops"}
    assert written == {*names, "suspects.csv", "suspects.parquet", "log.txt"}
    table = pq.read_table(output / "suspects.parquet")
    assert (output / "suspects.csv").read_text().count("\n") == len(table) + 1
    crops = {path.name for path in (output / "crops").iterdir()}
    assert crops == set(table["crop"].to_pylist())
    with Image.open(output / "crops" / "misplaced_0001.webp") as picture:
        assert min(picture.size) >= 400
    page = Page(output / "suspects.html")
    assert list(page.tabs) == ["classes", "boxes", "missing", "duplicates"]
    assert "'fish <b>' at 7 of them" in page.tabs["classes"]
    assert "'dog' was said here at 8 of 9 sights" in page.tabs["missing"]
    assert page.scripts == 1
    assert "b" not in page.tags


def test_a_copy_of_the_annotations_can_be_trained_on(folder):
    assert clean(folder, "--policy", "change", "--threshold", "wrong_class=0.35") == 0
    path = folder / "run 1" / "clean" / "cleaned.json"
    records = load_coco_records(str(path), str(folder / "images"), "cleaned_toy")
    objects = {note["id"]: note for record in records for note in record["annotations"]}
    assert objects[12]["category_id"] == 2
    assert 13 not in objects
    assert objects[23]["category_id"] == 1
    assert json.loads(path.read_text())["annotations"][0]["extra"] == "stays"


@pytest.mark.parametrize(("policy", "weight", "crowds"), [("ignore", 1, 4), ("weight", 0.19, 2)])
def test_weights_and_ignored_objects_are_those_of_a_training(policy, weight, crowds, folder):
    assert clean(folder, "--policy", policy, "--threshold", "duplicate=0.9") == 0
    path = folder / "run 1" / "clean" / "cleaned.json"
    records = load_coco_records(str(path), str(folder / "images"), f"toy_{policy}")
    notes = [note for record in weigh_records(records, [1] * 3) for note in record["annotations"]]
    assert sum(note["iscrowd"] for note in notes) == crowds
    (own,) = (note for note in notes if note["id"] == 12)
    assert own.get("weight", 1) == pytest.approx(weight)


def test_a_second_call_replaces_the_first(folder):
    assert clean(folder) == 0
    assert clean(folder, "--num", 1) == 0
    output = folder / "run 1" / "clean"
    assert len(list((output / "crops").iterdir())) == 4
    assert pq.read_table(output / "suspects.parquet").num_rows == 4


def test_pictures_of_other_programs_stay(folder):
    crops = folder / "own" / "crops"
    crops.mkdir(parents=True)
    for name in ("holiday.webp", "missing_0001.webp", "missing_0009.webp"):
        (crops / name).write_bytes(b"")
    assert clean(folder, "--output", folder / "own") == 0
    assert (crops / "holiday.webp").exists()
    assert (crops / "missing_0001.webp").stat().st_size > 0
    assert not (crops / "missing_0009.webp").exists()


def test_there_may_be_no_suspects_of_a_kind(folder, capsys):
    path = folder / "run 1" / "ledger" / "places.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    assert clean(folder) == 0
    assert "missing object, 0 listed" in capsys.readouterr().out
    assert "There are none." in Page(folder / "run 1" / "clean" / "suspects.html").tabs["missing"]


def test_a_class_that_is_taken_for_another_is_told(folder, capsys):
    assert clean(folder) == 0
    assert "hardly learnt" not in capsys.readouterr().out
    shown = folder / "run 1" / "clean" / "suspects.html"
    assert "hardly learnt" not in shown.read_text()
    path = folder / "run 1" / "ledger" / "objects.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("rival_mean")
    rivals = pa.array([None if r is None else 0.9 for r in table["rival_mean"].to_pylist()])
    pq.write_table(table.set_column(place, "rival_mean", rivals), path)
    assert clean(folder) == 0
    assert "Most objects annotated as 'cat', 'dog' were said to be" in capsys.readouterr().out
    tabs = Page(shown).tabs
    # The warning names classes that have suspects here.
    assert "Most objects annotated as 'dog' were said to be" in tabs["classes"]
    assert not any("hardly learnt" in tabs[name] for name in ("boxes", "missing", "duplicates"))


def test_annotations_whose_box_is_none_are_left_to_the_file(folder):
    content = make_content()
    own = {"image_id": 1, "category_id": 10, "iscrowd": 0}
    boxes = ([1, 2, 3], ["a", 0, 9, 9], [0, 0, math.nan, 9])
    content["annotations"] += [{**own, "id": 90 + k, "bbox": box} for k, box in enumerate(boxes)]
    (folder / "train.json").write_text(json.dumps(content))
    assert clean(folder) == 0
    output = folder / "run 1" / "clean"
    assert {90, 91, 92} <= ids_in(output / "cleaned.json")
    assert not {90, 91, 92} & ids_in(output / "fiftyone.json")
    (task,) = (
        task
        for task in json.loads((output / "label_studio.json").read_text())
        if "image%201.png" in task["data"]["image"]
    )
    (annotated,) = task["annotations"]
    assert [result["id"] for result in annotated["result"]] == ["11", "12", "13", "14", "15"]


def ids_in(path):
    return {note["id"] for note in json.loads(path.read_text())["annotations"]}


def test_ids_that_look_like_numbers_are_told_as_they_are(folder, capsys):
    content = make_content()
    for note in content["annotations"]:
        note["id"] = f"{note['id']}e5"
    (folder / "train.json").write_text(json.dumps(content))
    path = folder / "run 1" / "ledger" / "objects.parquet"
    table = pq.read_table(path)
    ids = pa.array([f"{note_id}e5" for note_id in table["id"].to_pylist()])
    pq.write_table(table.set_column(table.schema.get_field_index("id"), "id", ids), path)
    assert clean(folder) == 0
    assert " 12e5 " in capsys.readouterr().out


def test_names_of_classes_are_those_of_the_training_in_all_files(folder):
    content = make_content()
    content["categories"][1]["name"] = "do\ng"
    (folder / "train.json").write_text(json.dumps(content))
    start = json.loads((folder / "run 1" / "run.json").read_text())
    start[0]["data"]["classes"][1] = "do\\ng"
    (folder / "run 1" / "run.json").write_text(json.dumps(start))
    assert clean(folder) == 0
    written = json.loads((folder / "run 1" / "clean" / "fiftyone.json").read_text())
    proposed = {note["proposed_class"] for note in written["annotations"] if note["id"] == 23}
    assert proposed == {written["categories"][1]["name"]} == {"do\\ng"}
    assert written["annotations"][0]["extra"] == "stays"


def test_the_report_shows_them(folder):
    page = Page(write_report(folder / "run 1"))
    assert "`imbdet clean`, with this folder, finds them" in page.tabs["suspects"]
    assert clean(folder) == 0
    tab = Page(write_report(folder / "run 1")).tabs["suspects"]
    for text in ("of another class", "in another place", "may be missing", "annotated twice"):
        assert text in tab


def test_images_may_be_gone(folder, capsys):
    (folder / "images" / "image 1.png").unlink()
    assert clean(folder) == 0
    assert "a suspect has no picture" in capsys.readouterr().out
    page = Page(folder / "run 1" / "clean" / "suspects.html")
    assert "the images could not be read: 1" in page.tabs["classes"]


def test_all_images_may_be_gone(folder):
    for path in (folder / "images").iterdir():
        path.unlink()
    assert clean(folder) == 0
    page = Page(folder / "run 1" / "clean" / "suspects.html")
    assert len(page.tabs) == 4
    assert all("the images could not be read: 1" in text for text in page.tabs.values())


def without_ledger(folder):
    shutil.rmtree(folder / "run 1" / "ledger")


def without_config(folder):
    (folder / "run 1" / "config.yaml").unlink()


def of_another_data_set(folder):
    write_ledger(folder / "run 1", "0", "another")


def of_an_earlier_version(folder):
    (folder / "run 1" / "ledger" / "places.parquet").unlink()


def without_a_column(folder):
    path = folder / "run 1" / "ledger" / "objects.parquet"
    pq.write_table(pq.read_table(path).drop_columns("rival_mean"), path)


def damaged(folder):
    (folder / "run 1" / "ledger" / "objects.parquet").write_bytes(b"PAR1")


def foreign(folder):
    table = pq.read_table(folder / "run 1" / "ledger" / "objects.parquet")
    pq.write_table(
        table.replace_schema_metadata({}), folder / "run 1" / "ledger" / "objects.parquet"
    )


def of_other_data(folder):
    path = folder / "run 1" / "ledger" / "images.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata({"data": '{"x": ""}'}), path)


def change(edit):
    def changed(folder):
        content = make_content()
        edit(content)
        (folder / "train.json").write_text(json.dumps(content))

    return changed


def moved_box(content):
    content["annotations"][0]["bbox"][0] += 1


def without_id(content):
    del content["annotations"][1]["id"]


def other_ids(content):
    content["annotations"][0]["id"] = 99  # an id that the fingerprint lacks


def renamed_class(content):
    content["categories"][1]["name"] = "wolf"


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (without_ledger, ("has no ledger", "LEDGER.ENABLED")),
        (without_config, ("is no run",)),
        (of_another_data_set, (f"is not of the data set '{DATASET}'", "another")),
        (of_an_earlier_version, ("places.parquet", "earlier version")),
        (without_a_column, ("objects.parquet", "'rival_mean'", "earlier version", "train again")),
        (damaged, ("objects.parquet", "damaged")),
        (foreign, ("is no ledger",)),
        (of_other_data, ("images.parquet", "of other data than", "objects.parquet")),
        (change(moved_box), (f"annotations of '{DATASET}' have changed", "fingerprints")),
        (change(renamed_class), ("class 1 was 'dog' and is 'wolf'",)),
        (change(without_id), ("train.json", "annotations[1]", "'id'")),
        (change(other_ids), ("'11'", "of another data set")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_bad_input_is_one_sentence(break_it, says, folder, capsys):
    break_it(folder)
    assert clean(folder) == 2
    error = capsys.readouterr().err
    assert error.count("error: ") == 1
    for text in says:
        assert text in error
    assert not (folder / "run 1" / "clean").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--num", 0), "--num is 0"),
        (("--policy", "weigh"), "Did you mean 'weight'?"),
        (("--threshold", "missing=nan"), "--threshold 'missing=nan'"),
        (("--threshold", "missing=0"), "above 0"),
        (("--threshold", "missin=0.5"), "Did you mean 'missing'"),
        (("--dataset", "nothing"), "is not of the data set 'nothing'"),
    ],
)
def test_options_are_checked(options, says, folder, capsys):
    assert clean(folder, *options) == 2
    assert says in capsys.readouterr().err


def test_never_writes_over_annotations(folder, capsys):
    (folder / "train.json").rename(folder / "cleaned.json")
    config = folder / "run 1" / "config.yaml"
    config.write_text(config.read_text().replace("train.json", "cleaned.json"))
    assert clean(folder, "--output", folder) == 2
    assert_says(capsys.readouterr().err, "stay as they are", "choose another folder")


def test_never_writes_over_annotations_of_other_data_sets_of_the_run(folder, capsys):
    (folder / "test").mkdir()
    shutil.copy(folder / "train.json", folder / "test" / "cleaned.json")
    path = folder / "run 1" / "config.yaml"
    cfg = load_config(str(path))
    entry = {"NAME": "toy_test", "JSON": str(folder / "test" / "cleaned.json")}
    cfg.DATASETS.COCO = [*cfg.DATASETS.COCO, {**entry, "IMAGES": str(folder / "images")}]
    cfg.DATASETS.TEST = ("toy_test",)
    path.write_text(cfg.dump())
    assert clean(folder, "--output", folder / "test") == 2
    assert_says(capsys.readouterr().err, "annotations of 'toy_test'", "stay as they are")


@pytest.mark.parametrize(("name", "says"), [("run 1", "holds a run"), ("train.json", "--output")])
def test_folders_that_cannot_be_written_to_are_named(name, says, folder, capsys):
    assert clean(folder, "--output", folder / name) == 2
    assert_says(capsys.readouterr().err, f"'{folder / name}'", says, "choose another folder")
