"""Values that no config can have, with any model."""

import pytest

from imbdet.config import load_config
from imbdet.config.values import refuse_values
from tests.messages import assert_says, error_of


def test_the_defaults_are_admitted():
    refuse_values(load_config())


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("SOLVER.STEPS", "(1, None)", "its parts must be numbers"),
        ("SOLVER.STEPS", "('a',)", "its parts must be numbers"),
        ("SOLVER.STEPS", "(True,)", "its parts must be numbers"),
        ("MODEL.ANCHOR_GENERATOR.SIZES", "[[32, None]]", "its parts must be numbers"),
        ("MODEL.PIXEL_MEAN", "[1.0, 1e400, None]", "its parts must be numbers"),
        ("MODEL.RPN.IOU_THRESHOLDS", "[[]]", "nested too deep"),
        ("MODEL.FPN.IN_FEATURES", "[1]", "must be names of features"),
        ("MODEL.RPN.IN_FEATURES", "[1]", "its parts must be texts"),
        ("MODEL.ROI_HEADS.IN_FEATURES", "[]", "must be names of one or more features"),
        ("DATASETS.TRAIN", "(None,)", "its parts must be"),
        ("MODEL.RETINANET.NUM_CLASSES", "-1", "must be from 1 to 100000"),
        ("MODEL.ROI_HEADS.NUM_CLASSES", "0", "must be from 1 to 100000"),
        ("MODEL.FPN.OUT_CHANNELS", "1000000000000", "must be from 1 to 100000"),
        ("MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS", "[[1.0, 1.0]]", "four numbers above 0"),
        ("MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS", "[1.0, 2.0]", "four numbers above 0"),
        ("MODEL.ROI_BOX_CASCADE_HEAD.LOSS_WEIGHTS", "['a', 1.0, 1.0]", "numbers of at least 0"),
        ("TEST.AUG.MIN_SIZES", "(0,)", "numbers above 0"),
        ("SEED", "4294967296", "must be at most 4294967295"),
        ("SEED", "0x" + "f" * 5000, "more than 64 bits"),
    ],
)
def test_wrong_values_are_named(key, value, words):
    cfg = load_config(opts=[key, value])
    message = error_of(refuse_values, cfg)
    assert_says(message, key, words)
    assert len(message) < 300


def test_nan_is_no_number():
    cfg = load_config()
    cfg.SOLVER.BASE_LR = float("nan")
    assert_says(error_of(refuse_values, cfg), "SOLVER.BASE_LR is nan: NaN is no number")
