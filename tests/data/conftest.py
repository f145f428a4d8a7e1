import json
import logging

import numpy as np
import pytest
from PIL import Image

from imbdet.config import add_imbdet_config
from imbdet.data import register_datasets

from detectron2.config import CfgNode, get_cfg  # isort: skip  (after imbdet)


class ToyData:
    """Four images of 40 x 30 pixels and two classes in COCO format, to be damaged by a test."""

    def __init__(self, folder):
        self.folder = folder
        self.json_file = folder / "toy.json"
        self.images = folder / "images"
        self.images.mkdir()
        self.content = {
            "images": [
                {"id": 10 * i, "file_name": f"{i}.png", "width": 40, "height": 30}
                for i in (1, 2, 3, 4)
            ],
            "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
            "annotations": [
                self.annotation(id=1, image_id=10, category_id=7),
                self.annotation(id=2, image_id=10, category_id=3),
                self.annotation(id=3, image_id=20, category_id=7),
                self.annotation(id=4, image_id=30, category_id=7),
                self.annotation(id=5, image_id=30, category_id=3, iscrowd=1),
            ],
        }
        for image in self.content["images"]:
            pixels = np.full((30, 40, 3), image["id"], dtype=np.uint8)
            Image.fromarray(pixels).save(self.images / image["file_name"])

    @staticmethod
    def annotation(**fields) -> dict:
        return {"bbox": [5, 5, 20, 10], "area": 200, "iscrowd": 0, **fields}

    def save(self) -> None:
        self.json_file.write_text(json.dumps(self.content))

    def entry(self, name: str = "toy") -> dict:
        return {"NAME": name, "JSON": str(self.json_file), "IMAGES": str(self.images)}

    def config(self, *overrides) -> CfgNode:
        """A config that trains and tests on the data, saved and registered as they are now."""
        self.save()
        cfg = get_cfg()
        add_imbdet_config(cfg)
        cfg.DATASETS.COCO = [self.entry()]
        cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = ("toy",)
        cfg.MODEL.ROI_HEADS.NUM_CLASSES = 2
        cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = (30,), 30
        cfg.SOLVER.IMS_PER_BATCH = 2
        cfg.DATALOADER.NUM_WORKERS = 0
        cfg.merge_from_list(list(overrides))
        register_datasets(cfg)
        return cfg


@pytest.fixture
def toy(tmp_path) -> ToyData:
    return ToyData(tmp_path)


@pytest.fixture
def log(caplog, monkeypatch):
    """The fixture caplog, also when an earlier test has configured imbdet's logger."""
    monkeypatch.setattr(logging.getLogger("imbdet"), "propagate", True)
    caplog.set_level(logging.INFO, logger="imbdet")
    return caplog


@pytest.fixture
def lvis_toy(toy) -> ToyData:
    """The toy data in LVIS's form: files by their addresses, and facts about classes of images."""
    notes = toy.content["annotations"]
    del notes[4]  # LVIS has no crowds
    for note in notes:
        del note["iscrowd"]
        note["segmentation"] = [[5, 5, 25, 5, 25, 15, 5, 15]]
    for image in toy.content["images"]:
        file_name = image.pop("file_name")
        image["coco_url"] = f"http://images.cocodataset.org/images/{file_name}"
        image["neg_category_ids"], image["not_exhaustive_category_ids"] = [3], []
    toy.content["images"][0].update(neg_category_ids=[], not_exhaustive_category_ids=[7])
    for category, frequency in zip(toy.content["categories"], "rf", strict=True):
        category.update(frequency=frequency, synset=f"{category['name']}.n.01", image_count=1)
    toy.images = toy.folder
    return toy
