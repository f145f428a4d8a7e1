"""datasets/prepare_nuclei.py, on a folder of a few images."""

import json

import numpy as np
import pytest
from PIL import Image

from imbdet.config import load_config
from imbdet.data import register_datasets
from imbdet.data.checks import load_dataset
from imbdet.formats.conversion import AnnotatedImage
from tests.formats.test_prepare_bccd import load_program
from tests.messages import assert_says
from tests.test_configs import CONFIGS

nuclei = load_program("prepare_nuclei")
SPLITS = ("train", "val", "test")


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    return tmp_path / "datasets"


def make_image(source, name, boxes, color=(9, 9, 9, 255), size=(64, 48)):
    """Write an image with a mask for each box, XYXY; None stands for a mask without a pixel."""
    folder = source / name
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    Image.new("RGBA", size, color).save(folder / "images" / f"{name}.png")
    for number, box in enumerate(boxes):
        mask = np.zeros(size[::-1], dtype=np.uint8)
        if box is not None:
            x0, y0, x1, y1 = box
            mask[y0:y1, x0] = mask[y0, x0:x1] = mask[y1 - 1, x0:x1] = mask[y0:y1, x1 - 1] = 255
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")


def content_of(root, split):
    content = json.loads((root / "nuclei" / "annotations" / f"{split}.json").read_text())
    boxes = [(note["image_id"], note["bbox"]) for note in content["annotations"]]
    return [image["file_name"] for image in content["images"]], boxes


def test_boxes_are_those_of_the_masks(tmp_path, root, capsys):
    make_image(tmp_path / "x", "a", [(0, 0, 4, 6), None, (60, 40, 64, 48)])
    assert nuclei.main([str(tmp_path / "x")]) == 0
    boxes = [(1, [0, 0, 4, 6]), (1, [60, 40, 4, 8])]
    assert content_of(root, "train") == (["a.png"], boxes)
    assert "1 image, 2 nucleus" in capsys.readouterr().out


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_each_kind_of_images_is_in_all_splits(size):
    kinds = [nuclei.Kind((64, 48), *flags) for flags in ((False, False), (True, True))]
    images = [
        (kind, AnnotatedImage(None, f"{number}", (64, 48), []))
        for number in range(size)
        for kind in kinds
    ]
    splits = nuclei.split_kinds(images)
    names = {split: [int(image.file_name) for image in splits[split]] for split in SPLITS}
    ends = [round(0.6 * size), round(0.75 * size), size]
    for split, start, end in zip(SPLITS, [0, *ends], ends, strict=False):
        assert names[split] == [*range(start, end)] * 2


def test_kinds_differ_in_size_colour_and_background(tmp_path):
    looks = {
        "dark": {},
        "bright": {"color": (200, 200, 200, 255)},
        "purple": {"color": (200, 120, 200, 255)},
        "large": {"size": (96, 96)},
    }
    for name, look in looks.items():
        make_image(tmp_path, name, [(1, 1, 9, 9)], **look)
    # The single image of a kind is for training.
    assert {split: len(images) for split, images in nuclei.read(tmp_path).items()} == {
        "train": 4,
        "val": 0,
        "test": 0,
    }


@pytest.mark.parametrize("what", ["nothing", "no masks", "a damaged mask"])
def test_another_folder_is_refused(what, tmp_path, root, capsys):
    source = tmp_path / "x"
    source.mkdir()
    words = ["name the folder stage1_train"]
    if what != "nothing":
        make_image(source, "a", [(1, 1, 9, 9)])
        mask = source / "a" / "masks" / "0.png"
        words = ["'a.png'", "no masks"] if what == "no masks" else [str(mask), "cannot be read"]
        mask.unlink() if what == "no masks" else mask.write_bytes(b"")
    assert nuclei.main([str(source)]) == 2
    assert_says(capsys.readouterr().err, *words)
    assert not root.exists()


def test_the_config_finds_them(tmp_path, root):
    for number in range(4):
        make_image(tmp_path / "x", f"{number}", [(1, 1, 9, 9)])
    nuclei.main([str(tmp_path / "x")])
    cfg = load_config(str(CONFIGS / "Nuclei" / "faster_rcnn.yaml"))
    assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == 1
    register_datasets(cfg)
    for split in SPLITS:
        records = load_dataset(cfg, f"nuclei_{split}")
        assert [record["file_name"] for record in records] == [
            str(root / "nuclei" / "images" / name) for name in content_of(root, split)[0]
        ]
