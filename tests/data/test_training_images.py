"""Numbers of training images with each class, for an evaluation alone."""

import pytest

from imbdet.data.summary import DataSummary
from imbdet.data.training_images import find_training_images

COUNTS = {"cat": 1, "dog": 3}  # the crowd does not count


def learned(**fields):
    return DataSummary(["cat", "dog"], [3, 7], {}, **fields)


def test_weights_say_it_themselves(toy):
    cfg = toy.config("DATASETS.TRAIN", ())
    assert find_training_images(cfg, learned(images_of_class=[5, 6])) == {"cat": 5, "dog": 6}


def test_the_training_data_say_it_if_they_are_there(toy, log):
    assert find_training_images(toy.config(), None) == COUNTS
    assert find_training_images(toy.config(), learned()) == COUNTS
    cfg = toy.config()
    toy.json_file.unlink()
    assert find_training_images(cfg, None) == {}
    assert "APr, APc and APf are left out, as the training data are not known: There is no" in (
        log.text
    )


def test_several_training_sets_are_one(toy):
    entries = [toy.entry(), toy.entry("again")]
    cfg = toy.config("DATASETS.COCO", entries, "DATASETS.TRAIN", ("toy", "again"))
    assert find_training_images(cfg, None) == {"cat": 2, "dog": 6}


def test_other_classes_than_the_detector_has_say_nothing(toy, log):
    assert find_training_images(toy.config("MODEL.ROI_HEADS.NUM_CLASSES", 1), None) == {}
    assert "NUM_CLASSES is 1" in log.text


def test_nothing_is_known_without_training_data(toy):
    assert find_training_images(toy.config("DATASETS.TRAIN", ()), None) == {}


def test_lvis_needs_no_training_data(lvis_toy, log):
    cfg = lvis_toy.config("DATASETS.COCO", [], "DATASETS.LVIS", [lvis_toy.entry()])
    lvis_toy.json_file.unlink()
    assert find_training_images(cfg, None) == {}
    assert "left out" not in log.text


@pytest.mark.parametrize(("bounds", "is_read"), [((10, 100), False), ((10, 1000), True)])
def test_coco_is_read_where_not_all_of_its_classes_are_frequent(toy, log, bounds, is_read):
    cfg = toy.config("DATASETS.TRAIN", ("coco_2017_train",), "TEST.FREQUENCY_BOUNDS", bounds)
    assert find_training_images(cfg, None) == {}
    assert ("There is no annotation file" in log.text) == is_read
