import re

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from imbdet.data import load_dataset, register_datasets
from imbdet.errors import UserError
from tests.messages import assert_says, error_of


def test_registers_as_detectron2_does(toy):
    cfg = toy.config()
    metadata = MetadataCatalog.get("toy")
    assert (metadata.json_file, metadata.image_root) == (str(toy.json_file), str(toy.images))
    assert metadata.evaluator_type == "coco"
    assert metadata.get("thing_classes") is None  # set on load

    records = load_dataset(cfg, "toy")
    assert metadata.thing_classes == ["cat", "dog"]
    assert metadata.thing_dataset_id_to_contiguous_id == {3: 0, 7: 1}
    assert [record["image_id"] for record in records] == [10, 20, 30, 40]
    assert [note["category_id"] for note in records[0]["annotations"]] == [1, 0]
    assert [note["iscrowd"] for note in records[2]["annotations"]] == [0, 1]


def test_registers_the_shapes(toy):
    toy.config("DATASETS.TRAIN", "('shapes_train',)", "DATASETS.TEST", "('shapes_val',)")


@pytest.mark.parametrize("path", ["toy.json", "~/toy.json", "$TOY_ROOT/toy.json"])
def test_resolves_paths(toy, monkeypatch, path):
    monkeypatch.chdir(toy.folder)
    monkeypatch.setenv("HOME", str(toy.folder))
    monkeypatch.setenv("TOY_ROOT", str(toy.folder))
    cfg = toy.config("DATASETS.COCO", [{"NAME": "toy", "JSON": path, "IMAGES": "images"}])
    assert MetadataCatalog.get("toy").json_file == str(toy.json_file)
    assert len(load_dataset(cfg, "toy")) == 4


def test_registers_again_with_other_content(toy):
    load_dataset(toy.config(), "toy")
    toy.content["categories"].append({"id": 9, "name": "cow"})
    cfg = toy.config("MODEL.ROI_HEADS.NUM_CLASSES", 3)
    register_datasets(cfg)
    load_dataset(cfg, "toy")
    load_dataset(cfg, "toy")
    assert MetadataCatalog.get("toy").thing_classes == ["cat", "dog", "cow"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda entry: entry.pop("IMAGES"), "DATASETS.COCO[0] has no IMAGES"),
        (lambda entry: entry.update(ROOT="x"), "unknown key 'ROOT'"),
        (lambda entry: entry.update(JSON=3), "JSON is 3"),
        (lambda entry: entry.update(NAME=""), "NAME is ''"),
    ],
)
def test_refuses_a_malformed_entry(toy, change, words):
    entry = toy.entry()
    change(entry)
    with pytest.raises(UserError, match=re.escape(words)) as error:
        toy.config("DATASETS.COCO", [entry])
    assert "{NAME: my_train, JSON: path/to/train.json, IMAGES: path/to/images}" in str(error.value)


def test_refuses_an_entry_that_is_no_mapping(toy):
    with pytest.raises(UserError, match=r"DATASETS.COCO\[0\] is 'toy.json'.*NAME: my_train"):
        toy.config("DATASETS.COCO", ["toy.json"])


NO_FOLDERS = pytest.mark.parametrize(
    "name",
    [".", "..", "birds/val", "../val", "/tmp/val", "birds\\val", "val\0", "val\n", 256 * "v"],
)


@NO_FOLDERS
def test_refuses_a_name_that_is_no_folder(toy, name):
    message = error_of(toy.config, "DATASETS.COCO", [toy.entry(), toy.entry(name)])
    assert_says(message, "DATASETS.COCO[1]", repr(name), "without slashes")


@NO_FOLDERS
def test_refuses_to_test_on_a_registered_name_that_is_no_folder(toy, name):
    """To train on it is no mistake, as no folder has its name."""
    DatasetCatalog.register(name, list)
    try:
        toy.config("DATASETS.TRAIN", (name,))
        message = error_of(toy.config, "DATASETS.TEST", ("toy", name))
        assert_says(message, "DATASETS.TEST", repr(name), "without slashes")
    finally:
        DatasetCatalog.pop(name)


@pytest.mark.parametrize("name", ["birds_v0.5_val", "Vögel, 2. Lauf", ".hidden", 255 * "v"])
def test_takes_any_name_of_a_folder(toy, name):
    toy.config("DATASETS.COCO", [toy.entry(name)], "DATASETS.TRAIN", (), "DATASETS.TEST", (name,))
    DatasetCatalog.pop(name)  # other tests list all names


@pytest.mark.parametrize(
    ("name", "words"),
    [("coco_2017_val", "a data set of detectron2"), ("shapes_val", "another data set")],
)
def test_refuses_a_taken_name(toy, name, words):
    with pytest.raises(UserError, match=f"'{name}', which is already the name of {words}"):
        toy.config("DATASETS.COCO", [toy.entry(name)])
    assert DatasetCatalog[name].__module__ != "imbdet.data.coco"


def test_refuses_a_repeated_name(toy):
    with pytest.raises(UserError, match="several entries with NAME 'toy'"):
        toy.config("DATASETS.COCO", [toy.entry(), toy.entry()])


@pytest.mark.parametrize("key", ["DATASETS.TRAIN", "DATASETS.TEST"])
def test_suggests_registered_names(toy, key):
    with pytest.raises(UserError, match=f"{key} names .*'coco_2017_tain'.* 'coco_2017_train'"):
        toy.config(key, "('coco_2017_tain',)")
    with pytest.raises(UserError, match=r"There are: .*coco_2014_val.* entry to DATASETS\.COCO"):
        toy.config(key, "('qqq',)")


def test_says_where_built_in_data_sets_belong(toy):
    # This data set is not part of COCO's download.
    cfg = toy.config("DATASETS.TEST", "('coco_2017_val_100',)")
    words = r"instances_val2017_100.json.*DETECTRON2_DATASETS.*docs/data.md"
    with pytest.raises(UserError, match=words):
        load_dataset(cfg, "coco_2017_val_100")


def test_reads_and_checks_built_in_data_sets_like_own_ones(toy, monkeypatch):
    toy.content["images"][1]["width"] = 0
    toy.save()
    toy.config("DATASETS.TEST", "('coco_2017_val_100',)")
    metadata = MetadataCatalog.get("coco_2017_val_100")
    monkeypatch.setitem(metadata.__dict__, "json_file", str(toy.json_file))
    cfg = toy.config("DATASETS.TEST", "('coco_2017_val_100',)")
    with pytest.raises(UserError, match=r"images\[1\] \(id 20\) has width 0, not a whole number"):
        load_dataset(cfg, "coco_2017_val_100")
