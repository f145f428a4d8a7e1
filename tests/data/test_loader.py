import json
import logging
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from imbdet.data import build_test_loader, build_train_loader
from imbdet.data.mappers import StrictMapper
from imbdet.errors import UserError


def take_batches(loader, number: int) -> list[list[dict]]:
    iterator = iter(loader)
    return [next(iterator) for _ in range(number)]


def images_in(batches: list[list[dict]]) -> list[int]:
    return [item["image_id"] for batch in batches for item in batch]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("grouping", [True, False])
def test_trains_on_images_with_objects(toy, workers, grouping):
    cfg = toy.config(
        "DATALOADER.NUM_WORKERS", workers, "DATALOADER.ASPECT_RATIO_GROUPING", grouping
    )
    batches = take_batches(build_train_loader(cfg), 6)
    assert {len(batch) for batch in batches} == {2}
    assert set(images_in(batches)) == {10, 20, 30}
    for batch in batches:
        for item in batch:
            assert item["image"].shape == (3, 30, 40)
            # Mapped to [0, 2), without the crowd of image 30.
            classes = {10: [1, 0], 20: [1], 30: [1]}[item["image_id"]]
            assert item["instances"].gt_classes.tolist() == classes


@pytest.mark.parametrize("workers", [0, 2])
def test_tests_on_every_image_once(toy, workers):
    loader = build_test_loader(toy.config("DATALOADER.NUM_WORKERS", workers), "toy")
    assert len(loader) == 4
    assert images_in(loader) == [10, 20, 30, 40]


def test_keeps_images_without_objects_on_demand(toy):
    cfg = toy.config("DATALOADER.FILTER_EMPTY_ANNOTATIONS", False)
    items = {
        item["image_id"]: item
        for batch in take_batches(build_train_loader(cfg), 4)
        for item in batch
    }
    assert len(items[40]["instances"]) == 0


def test_repeats_rare_classes(toy):
    cfg = toy.config(
        *("DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler"),
        *("DATALOADER.REPEAT_THRESHOLD", 4 / 3),
    )
    # "cat" is in one of three images (without the crowds' image: two), hence sqrt(2) times.
    images = images_in(take_batches(build_train_loader(cfg), 60))
    assert images.count(10) > images.count(20)


def test_reads_masks(toy):
    for annotation in toy.content["annotations"]:
        annotation["segmentation"] = [[5, 5, 25, 5, 25, 15, 5, 15]]
    (batch,) = take_batches(build_train_loader(toy.config("MODEL.MASK_ON", True)), 1)
    assert batch[0]["instances"].has("gt_masks")


def test_logs_the_classes(toy, log):
    build_train_loader(toy.config())
    assert "Training on 3 images:" in log.text
    assert re.search(r"dog +3 +75\.00%\ncat +1 +25\.00%", log.text)


def test_joins_data_sets_of_the_same_classes(toy):
    entries = [toy.entry("toy"), toy.entry("toy_again")]
    cfg = toy.config("DATASETS.COCO", entries, "DATASETS.TRAIN", "('toy', 'toy_again')")
    assert len(take_batches(build_train_loader(cfg), 3)) == 3


def test_refuses_data_sets_of_different_classes(toy):
    content = {**toy.content, "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "cow"}]}
    (toy.folder / "cows.json").write_text(json.dumps(content))
    entries = [toy.entry(), {**toy.entry("cows"), "JSON": str(toy.folder / "cows.json")}]
    cfg = toy.config("DATASETS.COCO", entries, "DATASETS.TRAIN", "('toy', 'cows')")
    with pytest.raises(UserError, match="class 1 is 'dog' in 'toy' and 'cow' in 'cows'"):
        build_train_loader(cfg)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("DATASETS.TRAIN", ()), "DATASETS.TRAIN is empty"),
        (("DATASETS.BROKEN_IMAGES", "ignore"), "BROKEN_IMAGES is 'ignore'; it can be 'refuse' or"),
        (("DATALOADER.SAMPLER_TRAIN", "RepeatSampler"), "SAMPLER_TRAIN: .*: RepeatSampler"),
    ],
)
def test_refuses_a_config(toy, overrides, words):
    cfg = toy.config(*overrides)
    with pytest.raises(UserError, match=words):
        build_train_loader(cfg)


def test_refuses_data_without_objects(toy):
    for annotation in toy.content["annotations"]:
        annotation["iscrowd"] = 1
    with pytest.raises(UserError, match="No image of toy has an object to train on"):
        build_train_loader(toy.config())


def save_with_exif(path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    Image.new("RGB", (30, 40)).save(path, exif=exif)


@pytest.mark.parametrize(
    ("mode", "extension"),
    [("L", "jpg"), ("LA", "png"), ("RGBA", "png"), ("P", "gif"), ("CMYK", "jpg"), ("1", "bmp")],
)
def test_reads_images_of_every_mode(toy, mode, extension):
    image = toy.content["images"][0]
    image["file_name"] = f"odd.{extension}"
    Image.new("RGB", (40, 30), (200, 200, 200)).convert(mode).save(toy.images / image["file_name"])
    (item,) = next(iter(build_test_loader(toy.config(), "toy")))
    assert item["image"].shape == (3, 30, 40)
    assert item["image"].dtype == torch.uint8


def test_turns_images_by_their_exif_orientation(toy):
    toy.content["images"][0]["file_name"] = "turned.jpg"
    save_with_exif(toy.images / "turned.jpg", 6)
    (item,) = next(iter(build_test_loader(toy.config(), "toy")))
    assert item["image"].shape == (3, 30, 40)


def truncate(path):
    path.write_bytes(path.read_bytes()[:60])


def save_16_bits(path):
    Image.fromarray(np.zeros((30, 40), dtype=np.uint16)).save(path)


BREAKAGES = [
    (truncate, r"cannot be read \(.*\)"),
    (lambda path: path.write_bytes(b""), "is empty"),
    (lambda path: path.write_text("<html>"), "is not an image"),
    (lambda path: path.unlink(), "is missing"),
    (save_16_bits, r"cannot be read \(it has more than 8 bits per pixel; convert it to 8 bits\)"),
    (
        lambda path: Image.new("RGB", (9, 8)).save(path),
        "has 9 x 8 pixels, not 40 x 30 as annotated",
    ),
    (
        lambda path: Image.new("RGB", (30, 40)).save(path),
        r"has 30 x 40 pixels, .* \(images are turned by their EXIF orientation.*\)",
    ),
]


def message_of(loader) -> str:
    """What a user reads when iterating over a loader fails."""
    try:
        take_batches(loader, 4)
    except UserError as error:
        # Frees the loader's iterator, so that its workers stop at once.
        return str(error.with_traceback(None))
    pytest.fail("no error")


@pytest.mark.parametrize(("break_image", "reason"), BREAKAGES)
@pytest.mark.parametrize("workers", [0, 1])
def test_refuses_a_broken_image(toy, break_image, reason, workers):
    cfg = toy.config("DATALOADER.NUM_WORKERS", workers)
    train_loader, test_loader = build_train_loader(cfg), build_test_loader(cfg, "toy")
    break_image(toy.images / "2.png")
    problem = rf"Image '{toy.images}/2\.png' {reason}\. Also broken: 0 of the"
    assert re.fullmatch(
        rf"{problem} 2 other images\. To train .* set DATASETS\.BROKEN_IMAGES to 'skip'\.",
        message_of(train_loader),
    )
    assert re.fullmatch(rf"{problem} 3 other images\.", message_of(test_loader))


def test_counts_the_other_broken_images(toy, monkeypatch):
    for file_name in ("2.png", "3.png", "4.png"):
        truncate(toy.images / file_name)
    loader = build_test_loader(toy.config(), "toy")
    assert message_of(loader).endswith("Also broken: 2 of the 3 other images.")
    monkeypatch.setattr(StrictMapper, "MAX_SECONDS", -1)
    words = "Also broken: 0 of the 0 other images that were checked in time."
    assert message_of(loader).endswith(words)


def test_leaves_errors_of_annotations_alone(toy):
    for annotation in toy.content["annotations"]:
        annotation["segmentation"] = [["a", "b", "c", "d", "e", "f"]]
    with pytest.raises(TypeError):
        take_batches(build_train_loader(toy.config("MODEL.MASK_ON", True)), 1)


@pytest.fixture
def log_file(tmp_path):
    """Gets the warnings of worker processes too."""
    handler = logging.FileHandler(tmp_path / "log.txt")
    logger = logging.getLogger("imbdet")
    logger.addHandler(handler)
    yield tmp_path / "log.txt"
    logger.removeHandler(handler)


@pytest.mark.parametrize("workers", [0, 2])
def test_skips_broken_images(toy, log_file, workers):
    cfg = toy.config("DATASETS.BROKEN_IMAGES", "skip", "DATALOADER.NUM_WORKERS", workers)
    loader = build_train_loader(cfg)
    truncate(toy.images / "2.png")
    images = images_in(take_batches(loader, 12))
    assert set(images) == {10, 30}
    assert images.count(30) > images.count(10)  # the next one takes the place
    warnings = [line for line in log_file.read_text().splitlines() if "2.png" in line]
    assert len(warnings) == 1
    assert "Another image takes its place." in warnings[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_refuses_to_skip_all_images(toy, workers):
    cfg = toy.config("DATASETS.BROKEN_IMAGES", "skip", "DATALOADER.NUM_WORKERS", workers)
    loader = build_train_loader(cfg)
    shutil.rmtree(toy.images)
    assert message_of(loader) == "None of the 3 images can be used."


def test_masks_are_asked_for_where_there_are_none(toy):
    with pytest.raises(UserError, match=r"MODEL\.MASK_ON is True, but data set 'toy' has objects"):
        build_train_loader(toy.config("MODEL.MASK_ON", True))
