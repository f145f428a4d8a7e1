"""Detectors of keypoints are refused where the data do not say what they need."""

import pytest
from detectron2.data import MetadataCatalog

from imbdet.data import build_test_loader, check_data_keys, load_dataset
from tests.messages import assert_says, error_of

ON = ("MODEL.KEYPOINT_ON", True, "MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS", 2)
OF_COCO = ("keypoints_coco_2017_train",)
EYES = {"keypoint_names": ["left", "right"], "keypoint_flip_map": [("left", "right")]}


def with_eyes(toy, *keys):
    """A config of the toy data, whose keypoints have names, as another program registers them."""
    cfg = toy.config(*ON, *keys)
    MetadataCatalog.get("toy").set(**EYES)
    return cfg


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ((), ["'toy' does not say what its keypoints are called", "MODEL.KEYPOINT_ON"]),
        (
            ("DATASETS.TRAIN", OF_COCO),
            ["NUM_KEYPOINTS is 2", "'keypoints_coco_2017_train' has 17 keypoints", "set it to 17"],
        ),
    ],
    ids=["no names", "another number"],
)
def test_names_are_asked_for_before_a_training_and_a_test(toy, keys, words):
    cfg = toy.config(*ON, *keys)
    assert_says(error_of(check_data_keys, cfg), *words)
    assert_says(error_of(build_test_loader, cfg, "toy"), *words)


def test_a_test_needs_the_training_data_to_be_named(toy):
    cfg = with_eyes(toy, "DATASETS.TRAIN", ())
    assert_says(error_of(build_test_loader, cfg, "toy"), "DATASETS.TRAIN is empty", "KEYPOINT_ON")


def test_data_sets_must_have_the_same_keypoints(toy):
    cfg = with_eyes(toy, "DATASETS.TRAIN", ("toy", *OF_COCO))
    assert_says(error_of(check_data_keys, cfg), "'toy'", OF_COCO[0], "other keypoints")


@pytest.mark.parametrize("keypoints", [None, [], [1, 2, 2], [1, 2, 2] * 3])
def test_each_object_needs_all_keypoints(toy, keypoints):
    for note in toy.content["annotations"]:
        note["keypoints"] = [1, 2, 2, 0, 0, 0]
    toy.content["annotations"][4]["keypoints"] = []  # of a crowd
    cfg = with_eyes(toy)
    check_data_keys(cfg)
    assert len(load_dataset(cfg, "toy", training=True)) == 4
    toy.content["annotations"][2]["keypoints"] = keypoints
    cfg = with_eyes(toy)
    message = error_of(load_dataset, cfg, "toy", training=True)
    assert_says(message, "data set 'toy'", "for each of 2", "'2.png'", "MODEL.KEYPOINT_ON to False")
    load_dataset(cfg, "toy")  # of a test set only boxes are compared
