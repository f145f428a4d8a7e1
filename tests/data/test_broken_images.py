import logging
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from imbdet.data import build_test_loader, build_train_loader, load_dataset
from imbdet.data.augmentation import build_train_mapper
from imbdet.data.broken_images import StrictMapper, map_image
from imbdet.data.images import find_image_problem
from imbdet.errors import UserError
from tests.data.test_loader import images_in, take_batches, truncate


def save_16_bits(path):
    Image.fromarray(np.zeros((30, 40), dtype=np.uint16)).save(path)


@pytest.mark.parametrize("form", ["png", "tiff"])
def test_16_bits_are_found_under_any_name(tmp_path, form):
    path = tmp_path / "image.jpg"
    Image.fromarray(np.full((30, 40), 1000, dtype=np.uint16)).save(path, format=form)
    assert find_image_problem({"file_name": str(path)}, "BGR").startswith(
        "cannot be read (it has more than 8 bits per pixel"
    )
    Image.new("RGB", (40, 30)).save(path, format=form)
    assert find_image_problem({"file_name": str(path)}, "BGR") is None


BREAKAGES = [
    (truncate, r"cannot be read \(.*\)"),
    (lambda path: path.write_bytes(b""), "is empty"),
    (lambda path: path.write_text("<html>"), "is not an image"),
    (lambda path: path.unlink(), "is missing"),
    (
        lambda path: Image.new("1", (20_000, 20_000)).save(path),
        r"cannot be read \(Image size \(400000000 pixels\) exceeds limit of .* pixels.*\)",
    ),
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
    """The message that a user reads when iterating over a loader fails."""
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


def make_narrow(toy, file_name):
    """Write an image of which resizing to at most 1333 pixels leaves nothing."""
    Image.new("RGB", (4000, 1)).save(toy.images / file_name)
    record = next(r for r in toy.content["images"] if r["file_name"] == file_name)
    record.update(width=4000, height=1)
    for annotation in toy.content["annotations"]:
        if annotation["image_id"] == record["id"]:
            annotation["bbox"] = [100, 0, 50, 1]


def test_refuses_or_skips_an_image_that_is_too_narrow(toy):
    for file_name in ("1.png", "2.png"):
        make_narrow(toy, file_name)
    cfg = toy.config()
    words = (
        rf"Image '{toy.images}/[12]\.png' has 4000 x 1 pixels: .* at most 1333\. Also broken: 1 of "
    )
    for loader in (build_train_loader(cfg), build_test_loader(cfg, "toy")):
        assert re.match(words, message_of(loader))
    cfg = toy.config("DATASETS.BROKEN_IMAGES", "skip")
    assert set(images_in(take_batches(build_train_loader(cfg), 12))) == {30}


def test_counts_the_other_broken_images(toy, monkeypatch):
    for file_name in ("2.png", "3.png", "4.png"):
        truncate(toy.images / file_name)
    loader = build_test_loader(toy.config(), "toy")
    assert message_of(loader).endswith("Also broken: 2 of the 3 other images.")
    monkeypatch.setattr(StrictMapper, "MAX_SECONDS", -1)
    words = "Also broken: 0 of the 0 other images checked in time."
    assert message_of(loader).endswith(words)


def test_leaves_errors_of_annotations_alone(toy):
    cfg = toy.config("MODEL.MASK_ON", True)
    (record, *_) = load_dataset(cfg, "toy")
    for annotation in record["annotations"]:
        annotation["segmentation"] = [["a", "b", "c", "d", "e", "f"]]
    with pytest.raises(TypeError):
        map_image(build_train_mapper(cfg), record)


@pytest.fixture
def log_file(tmp_path):
    """A file that gets the warnings of worker processes, too."""
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
    assert 1 <= len(warnings) <= max(workers, 1)  # each of the workers that meet it at once warns
    assert "Another image takes its place." in warnings[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_refuses_to_skip_all_images(toy, workers):
    cfg = toy.config("DATASETS.BROKEN_IMAGES", "skip", "DATALOADER.NUM_WORKERS", workers)
    loader = build_train_loader(cfg)
    shutil.rmtree(toy.images)
    assert message_of(loader) == "None of the 3 images can be used."
