import json
import random
import re
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from PIL import Image

from imbdet.data import build_test_loader, build_train_loader, check_test_sets
from imbdet.data.training_records import TrainingData
from imbdet.errors import UserError


def take_batches(loader, number: int) -> list[list[dict]]:
    iterator = iter(loader)
    return [next(iterator) for _ in range(number)]


def images_in(batches: list[list[dict]]) -> list[int]:
    return [item["image_id"] for batch in batches for item in batch]


def truncate(path):
    path.write_bytes(path.read_bytes()[:60])


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
        *("SEED", 1),
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
    assert "3 training images (left out, without objects: 1):" in log.text
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
    ("names", "words"),
    [
        (["cat", "dog"], ""),
        (["cat"], ""),
        (["dog", "cat"], "class 0 is 'cat' in 'toy' and 'dog' in 'test'"),
        (["dog"], "class 0 is 'cat' in 'toy' and 'dog' in 'test'"),
    ],
)
def test_checks_test_sets_against_the_training(toy, names, words):
    categories = [{"id": i, "name": name} for i, name in enumerate(names)]
    content = {**toy.content, "categories": categories, "annotations": []}
    (toy.folder / "test.json").write_text(json.dumps(content))
    entries = [toy.entry(), {**toy.entry("test"), "JSON": str(toy.folder / "test.json")}]
    cfg = toy.config("DATASETS.COCO", entries, "DATASETS.TEST", "('test',)")
    build_train_loader(cfg)
    with pytest.raises(UserError, match=words) if words else nullcontext():
        check_test_sets(cfg)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("DATASETS.TRAIN", ()), "DATASETS.TRAIN is empty"),
        (("DATASETS.BROKEN_IMAGES", "ignore"), "BROKEN_IMAGES is 'ignore'; it can be 'refuse' or"),
        (
            ("DATALOADER.SAMPLER_TRAIN", "RepeatSampler"),
            "SAMPLER_TRAIN is 'RepeatSampler'. Did you",
        ),
        (
            (
                *("DATALOADER.SAMPLER_TRAIN", "RandomSubsetTrainingSampler"),
                *("DATALOADER.RANDOM_SUBSET_RATIO", 0.2),
            ),
            "RANDOM_SUBSET_RATIO is 0.2: of 3 images it must take at least one",
        ),
        (("SOLVER.IMS_PER_BATCH", 0), "IMS_PER_BATCH is 0, which 1 process cannot share"),
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


def test_masks_are_asked_for_where_there_are_none(toy):
    with pytest.raises(UserError, match=r"MODEL\.MASK_ON is True, but data set 'toy' has objects"):
        build_train_loader(toy.config("MODEL.MASK_ON", True))


def same(batches, others) -> bool:
    pairs = [pair for two in zip(batches, others, strict=True) for pair in zip(*two, strict=True)]
    return all(
        one["image_id"] == other["image_id"]
        and torch.equal(one["image"], other["image"])
        and torch.equal(one["instances"].gt_boxes.tensor, other["instances"].gt_boxes.tensor)
        for one, other in pairs
    )


def randomly_augmented(toy, **overrides):
    """Images of random sizes and colours, all of them different."""
    overrides = {"INPUT.AUGMENTATION": "ssd", "INPUT.SSD.SIZE": 32, "SEED": 5, **overrides}
    return toy.config(*(x for pair in overrides.items() for x in pair))


@pytest.mark.parametrize("skip", [False, True])
def test_batches_are_functions_of_the_seed_and_the_iteration(toy, skip):
    if skip:
        toy.config()
        truncate(toy.images / "2.png")
    policy = {"DATASETS.BROKEN_IMAGES": "skip"} if skip else {}
    expected = take_batches(build_train_loader(randomly_augmented(toy, **policy)), 8)
    with_workers = randomly_augmented(toy, **policy, **{"DATALOADER.NUM_WORKERS": 2})
    assert same(take_batches(build_train_loader(with_workers), 8), expected)
    for start in (1, 5):
        loader = build_train_loader(randomly_augmented(toy, **policy))
        loader.start = start
        assert same(take_batches(loader, 3), expected[start : start + 3])
    loader = build_train_loader(randomly_augmented(toy, SEED=6, **policy))
    assert not same(take_batches(loader, 8), expected)


def test_a_repeated_image_is_augmented_anew(toy):
    cfg = randomly_augmented(
        toy,
        **{
            "DATALOADER.SAMPLER_TRAIN": "RepeatFactorTrainingSampler",
            "DATALOADER.REPEAT_THRESHOLD": 100.0,
        },
    )
    items = [item for batch in take_batches(build_train_loader(cfg), 8) for item in batch]
    first, second = [item for item in items if item["image_id"] == 10][:2]
    assert not torch.equal(first["image"], second["image"])


def test_loading_leaves_the_random_numbers_of_the_process_alone(toy):
    loader = build_train_loader(randomly_augmented(toy))

    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    def seed():
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)

    seed()
    expected = draw()
    seed()
    take_batches(loader, 3)
    assert draw() == expected


def test_a_random_seed_is_kept(toy):
    loader = build_train_loader(randomly_augmented(toy, SEED=-1))
    assert loader.seed >= 0
    assert same(take_batches(loader, 4), take_batches(loader, 4))


def test_the_first_batches_come_again_and_again(toy):
    loader = build_train_loader(randomly_augmented(toy))
    expected = take_batches(loader, 2)
    loader.start = 9
    batches = take_batches(loader.first_batches(2), 4)
    assert same(batches, expected + expected)


def test_sizes_are_needed_to_group(toy, monkeypatch):
    cfg = toy.config()
    records = [{"file_name": "a.png", "annotations": [toy.annotation(category_id=0, bbox_mode=1)]}]
    data = TrainingData(records, None, None, [1.0])
    monkeypatch.setattr("imbdet.data.loader.load_training_records", lambda _: data)
    with pytest.raises(UserError, match=r"'a\.png' has no 'width' and 'height'"):
        build_train_loader(cfg)
