"""Data sets in LVIS's format, by key and by the names of detectron2."""

import json
import re
import sys
from collections import defaultdict
from types import SimpleNamespace

import pytest
from detectron2.data import MetadataCatalog
from detectron2.data.datasets import load_lvis_json
from detectron2.data.datasets.lvis import get_lvis_instances_meta

from imbdet.data import load_dataset
from imbdet.errors import UserError
from imbdet.formats.lvis_json import read_lvis_json

NAME = "lvis_v0.5_val_rand_100"


def by_key(toy, *overrides):
    return toy.config("DATASETS.COCO", [], "DATASETS.LVIS", [toy.entry()], *overrides)


@pytest.fixture
def built_in(lvis_toy, monkeypatch):
    """A name of detectron2 for the toy data, with the ids of two of LVIS's classes."""

    def config(name=NAME, *overrides):
        lvis_toy.config("DATASETS.TEST", (name,))  # this registers the name
        metadata = MetadataCatalog.get(name)
        monkeypatch.setitem(metadata.__dict__, "json_file", str(lvis_toy.json_file))
        monkeypatch.setitem(metadata.__dict__, "image_root", str(lvis_toy.images))
        return lvis_toy.config("DATASETS.TEST", (name,), *overrides)

    yield config
    for name in (NAME, "lvis_v0.5_val_cocofied"):
        metadata = MetadataCatalog.get(name)
        kept = {"json_file", "image_root", "evaluator_type", "name"}
        fields = {key: value for key, value in metadata.as_dict().items() if key in kept}
        MetadataCatalog.pop(name)
        MetadataCatalog.get(name).set(**fields, **get_lvis_instances_meta(name))


class LVIS:
    """The part of the package lvis that detectron2 uses: an index of the file."""

    def __init__(self, path):
        with open(path) as file:
            content = json.load(file)
        self.imgs = {image["id"]: image for image in content["images"]}
        self.img_ann_map = defaultdict(list)
        for note in content["annotations"]:
            self.img_ann_map[note["image_id"]].append(note)

    def load_imgs(self, ids):
        return [self.imgs[image_id] for image_id in ids]


def test_records_are_those_of_detectron2(lvis_toy, built_in, monkeypatch):
    monkeypatch.setitem(sys.modules, "lvis", SimpleNamespace(LVIS=LVIS))
    cfg = built_in(NAME, "MODEL.MASK_ON", True, "MODEL.ROI_HEADS.NUM_CLASSES", 1230)
    records = load_dataset(cfg, NAME)
    expected = load_lvis_json(str(lvis_toy.json_file), f"{lvis_toy.images}/", NAME)
    for record in records:
        for note in record["annotations"]:
            del note["id"]
    assert records == expected
    assert MetadataCatalog.get(NAME).thing_dataset_id_to_contiguous_id[1230] == 1229


def test_an_entry_has_the_classes_of_its_file(lvis_toy):
    records = load_dataset(by_key(lvis_toy), "toy", training=True)
    metadata = MetadataCatalog.get("toy")
    assert metadata.evaluator_type == "lvis"
    assert metadata.thing_classes == ["cat", "dog"]
    assert metadata.thing_dataset_id_to_contiguous_id == {3: 0, 7: 1}
    assert records[0]["file_name"] == str(lvis_toy.folder / "images" / "1.png")
    assert records[0]["not_exhaustive_category_ids"] == [7]
    assert load_dataset(by_key(lvis_toy), "toy") == records  # again, with the metadata of before


def test_classes_that_are_cut_down_to_cocos_keep_their_numbers(built_in):
    cfg = built_in("lvis_v0.5_val_cocofied", "MODEL.ROI_HEADS.NUM_CLASSES", 80)
    records = load_dataset(cfg, "lvis_v0.5_val_cocofied")
    assert MetadataCatalog.get("lvis_v0.5_val_cocofied").thing_classes[2] == "car"  # not "cat"
    assert [note["category_id"] for note in records[0]["annotations"]] == [6, 2]


def test_refuses_ids_that_a_name_has_not(lvis_toy, built_in):
    lvis_toy.content["categories"][1]["id"] = 1231
    for note in lvis_toy.content["annotations"]:
        note["category_id"] = 3
    for image in lvis_toy.content["images"]:
        image["not_exhaustive_category_ids"] = []
    cfg = built_in()
    with pytest.raises(UserError, match=r"which has none of id 1231\..*DATASETS\.LVIS"):
        load_dataset(cfg, NAME)


def test_says_where_paths_come_from(lvis_toy):
    cfg = by_key(lvis_toy)
    lvis_toy.json_file.unlink()
    with pytest.raises(UserError, match=r"The paths of 'toy' are set in DATASETS\.LVIS"):
        load_dataset(cfg, "toy")


def test_refuses_a_malformed_entry_and_a_name_of_both_lists(lvis_toy):
    with pytest.raises(UserError, match=r"DATASETS\.LVIS\[0\] has no IMAGES"):
        lvis_toy.config("DATASETS.LVIS", [{"NAME": "a", "JSON": "a.json"}])
    with pytest.raises(UserError, match=r"DATASETS\.LVIS has several entries with NAME 'toy'"):
        lvis_toy.config("DATASETS.LVIS", [lvis_toy.entry()])


def test_files_without_an_address_have_names(lvis_toy):
    first, second = lvis_toy.content["images"][:2]
    del first["coco_url"]
    first["file_name"] = "mine/1.png"
    second.update(coco_url="", file_name="mine/2.png")
    lvis_toy.save()
    images = read_lvis_json(str(lvis_toy.json_file))["images"]
    names = [image["file_name"] for image in images]
    assert names == ["mine/1.png", "mine/2.png", "images/3.png", "images/4.png"]


def test_lists_of_test_images_have_neither_objects_nor_what_is_known_of_them(lvis_toy):
    del lvis_toy.content["annotations"], lvis_toy.content["categories"][0]["frequency"]
    for image in lvis_toy.content["images"]:
        del image["neg_category_ids"], image["not_exhaustive_category_ids"]
    records = load_dataset(by_key(lvis_toy), "toy")
    assert records[0]["annotations"] == records[0]["neg_category_ids"] == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda c: c["categories"][1].pop("frequency"),
            "categories[1] (id 7) has no 'frequency'",
        ),
        (
            lambda c: c["categories"][1].update(frequency="often"),
            "categories[1] (id 7) has frequency 'often', not one of 'r', 'c', 'f'",
        ),
        (lambda c: c["categories"][1].update(frequency=["r"]), "has frequency ['r'], not one of"),
        (
            lambda c: c["images"][1].pop("neg_category_ids"),
            "images[1] (id 20) has no 'neg_category_ids'",
        ),
        (
            lambda c: c["images"][1].update(not_exhaustive_category_ids=7),
            "has not_exhaustive_category_ids 7, not a list of category ids",
        ),
        (
            lambda c: c["images"][1].update(neg_category_ids=[3, 8]),
            "images[1] (id 20) has 8 in neg_category_ids, which is not in 'categories'",
        ),
        (
            lambda c: c["images"][1].pop("coco_url"),
            "images[1] (id 20) has neither a 'coco_url' nor a 'file_name' that names its file",
        ),
        (lambda c: c["images"][1].update(coco_url=7), "images[1] (id 20) has neither a 'coco_url'"),
        (lambda c: c["images"][1].pop("width"), "images[1] (id 20) has no 'width'"),
        (lambda c: c.update(images={}), "'images' is not a list"),
    ],
)
def test_refuses_what_is_not_in_lvis_format(lvis_toy, damage, words):
    damage(lvis_toy.content)
    cfg = by_key(lvis_toy)
    with pytest.raises(UserError, match=f"is not in LVIS format: .*{re.escape(words)}"):
        load_dataset(cfg, "toy")
