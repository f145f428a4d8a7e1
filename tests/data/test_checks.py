import logging
import re
import shutil
import sys
from contextlib import nullcontext
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import META_ARCH_REGISTRY

from imbdet.data import check_data_keys, load_dataset
from imbdet.errors import UserError
from imbdet.modeling import ImbRetinaNet
from tests.messages import assert_says, error_of


def num_boxes(records: list[dict]) -> int:
    return sum(len(record["annotations"]) for record in records)


def warnings_in(log) -> list[str]:
    return [
        record.getMessage()
        for record in log.records
        if record.levelno == logging.WARNING and record.name.startswith("imbdet")
    ]


def test_clean_data_pass_in_silence(toy, log):
    records = load_dataset(toy.config(), "toy", training=True)
    assert (len(records), num_boxes(records), warnings_in(log)) == (4, 5, [])


@pytest.mark.parametrize("training", [True, False])
def test_refuses_missing_images(toy, training):
    for file_name in ("2.png", "3.png"):
        (toy.images / file_name).unlink()
    words = f"misses 2 of its 4 images: the first, '2.png', is not in folder '{toy.images}'. "
    with pytest.raises(UserError, match=re.escape(words) + ".*DATASETS.COCO") as error:
        load_dataset(toy.config(), "toy", training=training)
    assert ("BROKEN_IMAGES to 'skip'" in str(error.value)) == training


def test_skips_missing_images_in_training_only(toy, log):
    (toy.images / "2.png").unlink()
    cfg = toy.config("DATASETS.BROKEN_IMAGES", "skip")
    records = load_dataset(cfg, "toy", training=True)
    assert [record["image_id"] for record in records] == [10, 30, 40]
    assert len(warnings_in(log)) == 1
    assert "'2.png'" in warnings_in(log)[0]
    with pytest.raises(UserError, match="misses 1 of its 4 images"):
        load_dataset(cfg, "toy")


def test_refuses_a_missing_folder_whatever_the_policy(toy):
    shutil.rmtree(toy.images)
    cfg = toy.config("DATASETS.BROKEN_IMAGES", "skip")
    with pytest.raises(UserError, match=r"misses 4 of its 4 images: .*', which does not exist\."):
        load_dataset(cfg, "toy", training=True)


def test_refuses_an_empty_data_set(toy):
    toy.content.update(images=[], annotations=[])
    with pytest.raises(UserError, match="Data set 'toy' has no images"):
        load_dataset(toy.config(), "toy")


NO_AREA = "whose width or height is not above 0"
INVALID_BOXES = [
    ([5, 5, 0, 10], f"1 {NO_AREA} (first: [5, 5, 0, 10] of annotation 2 in '1.png')"),
    ([5, 5, 10, -2], f"1 {NO_AREA}"),
    ([5, 5, -10, 2], f"1 {NO_AREA}"),
    ([40, 5, 10, 10], "1 outside the image"),
    ([5, -20, 10, 10], "1 outside the image"),
    ([5, float("nan"), 10, 10], "1 with NaN or infinity"),
    ([5, 5, float("inf"), 10], "1 with NaN or infinity"),
    ([5, 5, 10], "1 not of four numbers"),
    ([5, 5, 10, "10"], "1 not of four numbers"),
    ([5, 5, 10, True], "1 not of four numbers"),
    ([5, 5, [10], None], "1 not of four numbers"),
    ([5, 5, 10, 10**400], "1 beyond 1e12"),
]
NOT_NUMBERS = [bbox for bbox, words in INVALID_BOXES[5:]]


@pytest.mark.parametrize(("bbox", "words"), INVALID_BOXES)
def test_drops_or_refuses_an_invalid_box(toy, log, bbox, words):
    toy.content["annotations"][1]["bbox"] = bbox
    records = load_dataset(toy.config(), "toy", training=True)
    assert num_boxes(records) == 4
    assert [words in warning for warning in warnings_in(log)] == [True]

    with pytest.raises(UserError, match=re.escape(words)):
        load_dataset(toy.config("DATASETS.INVALID_BOXES", "refuse"), "toy", training=True)
    if bbox in NOT_NUMBERS:  # nothing can be compared with them
        with pytest.raises(UserError, match=rf"{words[2:]}: .* of annotation 2 in '1\.png'"):
            load_dataset(toy.config(), "toy")
    else:
        log.clear()
        for _ in range(2):  # an evaluation keeps them
            assert num_boxes(load_dataset(toy.config(), "toy")) == 5
        (warning,) = warnings_in(log)
        assert_says(warning, words, "They stay, as objects that no detection matches.")


@pytest.mark.parametrize(
    ("mask", "mask_format", "words"),
    [
        (None, "polygon", r"without a 'segmentation' .*Set MODEL\.MASK_ON to False"),
        ({"size": [30, 40], "counts": [1199, 1]}, "polygon", "Set INPUT.MASK_FORMAT to 'bitmask'"),
        ({"size": [30, 40], "counts": [1199, 1]}, "bitmask", ""),
        ([[5, 5, 25, 5, 25, 15]], "bitmask", ""),
    ],
)
def test_refuses_masks_that_cannot_be_used(toy, mask, mask_format, words):
    for annotation in toy.content["annotations"]:
        annotation["segmentation"] = mask
    cfg = toy.config("MODEL.MASK_ON", True, "INPUT.MASK_FORMAT", mask_format)
    with pytest.raises(UserError, match=words) if words else nullcontext():
        load_dataset(cfg, "toy", training=True)


@pytest.fixture
def set_installed(monkeypatch):
    """Says whether shapely is installed."""

    def set_module(is_installed):
        module = ModuleType("shapely")
        module.__spec__ = ModuleSpec("shapely", None)
        monkeypatch.setitem(sys.modules, "shapely", module if is_installed else None)

    return set_module


RUNS = {"size": [30, 40], "counts": [1199, 1]}


@pytest.mark.parametrize(
    ("masks", "is_refused"),
    [([RUNS, RUNS], False), ([RUNS, [[5, 5, 25, 5, 25, 15]]], True)],
    ids=["run lengths", "a polygon among them"],
)
def test_refuses_to_crop_polygons_without_their_library(toy, set_installed, masks, is_refused):
    for annotation in toy.content["annotations"]:
        annotation["segmentation"] = masks[annotation["id"] == 4]
    keys = ("MODEL.MASK_ON", True, "INPUT.MASK_FORMAT", "bitmask", "INPUT.CROP.ENABLED")
    set_installed(False)
    load_dataset(toy.config(*keys, False), "toy", training=True)
    cfg = toy.config(*keys, True)
    if is_refused:
        message = error_of(load_dataset, cfg, "toy", training=True)
        assert_says(message, "INPUT.CROP.ENABLED", "pip install shapely")
    else:
        load_dataset(cfg, "toy", training=True)
    set_installed(True)
    load_dataset(cfg, "toy", training=True)


def test_tells_without_data_that_polygons_cannot_be_cropped(toy, set_installed):
    cfg = toy.config("MODEL.MASK_ON", True, "INPUT.CROP.ENABLED", True)
    set_installed(True)
    check_data_keys(cfg)
    set_installed(False)
    assert_says(error_of(check_data_keys, cfg), "INPUT.CROP.ENABLED", "pip install shapely")


def test_counts_invalid_boxes_by_kind(toy, log):
    for index, bbox in enumerate(([0, 0, 0, 0], [50, 50, 5, 5], [1, 1, 5, 0])):
        toy.content["annotations"][index]["bbox"] = bbox
    load_dataset(toy.config(), "toy", training=True)
    (warning,) = warnings_in(log)
    words = f"2 {NO_AREA} (first: [0, 0, 0, 0] of annotation 1 in '1.png'); 1 outside the image"
    assert words in warning


def test_refuses_an_unknown_policy(toy):
    cfg = toy.config("DATASETS.INVALID_BOXES", "ignore")
    with pytest.raises(UserError, match="INVALID_BOXES is 'ignore'; it can be 'drop' or 'refuse'"):
        load_dataset(cfg, "toy", training=True)


@pytest.mark.parametrize(
    ("architecture", "key"),
    [
        ("RetinaNet", "RETINANET"),
        ("ImbRetinaNet", "RETINANET"),
        ("Dense", "RETINANET"),
        ("GeneralizedRCNN", "ROI_HEADS"),
    ],
)
def test_compares_the_number_of_classes(toy, log, architecture, key, monkeypatch):
    # A user's detector, whose name does not show its kind.
    monkeypatch.setitem(META_ARCH_REGISTRY._obj_map, "Dense", type("Dense", (ImbRetinaNet,), {}))
    key = f"MODEL.{key}.NUM_CLASSES"
    cfg = toy.config("MODEL.META_ARCHITECTURE", architecture, key, 1)
    with pytest.raises(UserError, match=f"has 2 classes, but {key} is 1: set it to 2"):
        load_dataset(cfg, "toy")
    enough = 17 + len(architecture)  # a warning of its own, since each is given once
    for _ in range(2):
        load_dataset(toy.config("MODEL.META_ARCHITECTURE", architecture, key, enough), "toy")
    assert len(warnings_in(log)) == 1
    assert f"{key} is {enough}: set it to 2" in warnings_in(log)[0]


@pytest.fixture
def python_dataset():
    """Registers a function as a data set of a user's own program does."""
    yield lambda function: DatasetCatalog.register("python_set", function)
    DatasetCatalog.pop("python_set", None)
    MetadataCatalog.pop("python_set", None)


def test_checks_data_sets_of_other_programs(toy, python_dataset):
    python_dataset(lambda: load_dataset(cfg, "toy"))
    cfg = toy.config("DATASETS.TRAIN", "('python_set',)")
    with pytest.raises(UserError, match="'python_set' has no 'thing_classes'"):
        load_dataset(cfg, "python_set")
    MetadataCatalog.get("python_set").thing_classes = ["cat"]
    with pytest.raises(UserError, match="category_id 1; it must be at least 0 and less than 1"):
        load_dataset(cfg, "python_set")


def test_refuses_names_with_control_characters_in_data_of_another_program(toy, python_dataset):
    python_dataset(list)
    MetadataCatalog.get("python_set").thing_classes = ["cat", "dog\x1b[31m"]
    with pytest.raises(UserError, match=r"has a class 'dog\\x1b\[31m', whose name has control"):
        load_dataset(toy.config(), "python_set")


def test_refuses_masks_of_another_size_in_data_of_another_program(toy, python_dataset):
    note = {"bbox": [5, 5, 20, 10], "bbox_mode": 1, "category_id": 0}
    note["segmentation"] = {"size": [40, 30], "counts": b"T3b1jP1"}
    path = str(toy.images / "1.png")
    python_dataset(lambda: [{"file_name": path, "width": 40, "height": 30, "annotations": [note]}])
    MetadataCatalog.get("python_set").thing_classes = ["cat", "dog"]
    cfg = toy.config("MODEL.MASK_ON", True, "INPUT.MASK_FORMAT", "bitmask")
    with pytest.raises(UserError, match="another size than their image"):
        load_dataset(cfg, "python_set", training=True)


def test_passes_on_why_another_program_fails(toy, python_dataset):
    python_dataset(lambda: 1 / 0)
    cfg = toy.config("DATASETS.TRAIN", "('python_set',)")
    with pytest.raises(UserError, match=r"'python_set' does not load \(ZeroDivisionError: "):
        load_dataset(cfg, "python_set")
