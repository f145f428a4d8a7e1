"""Detectors of detectron2 that imbdet does not train and evaluate are refused by their keys."""

import pytest

from imbdet.config import load_config
from imbdet.engine.setup import check_config
from tests.messages import assert_says, error_of

ONE_STAGE = ("MODEL.META_ARCHITECTURE", "RetinaNet")
TWO_STAGES = ("MODEL.META_ARCHITECTURE", "GeneralizedRCNN")


@pytest.mark.parametrize(
    "keys",
    [
        ("MODEL.META_ARCHITECTURE", "PanopticFPN"),
        ("MODEL.META_ARCHITECTURE", "SemanticSegmentor"),
        ("MODEL.META_ARCHITECTURE", "ProposalNetwork"),
        (*TWO_STAGES, "MODEL.PROPOSAL_GENERATOR.NAME", "RRPN"),
        (*TWO_STAGES, "MODEL.ROI_HEADS.NAME", "RROIHeads"),
        (*TWO_STAGES, "MODEL.ANCHOR_GENERATOR.NAME", "RotatedAnchorGenerator"),
        (*ONE_STAGE, "MODEL.ANCHOR_GENERATOR.NAME", "RotatedAnchorGenerator"),
    ],
    ids=lambda keys: keys[-1] if len(keys) == 2 else f"{keys[1]}, {keys[-1]}",
)
def test_what_gives_no_objects_in_upright_boxes_is_refused(keys):
    key, name = keys[-2:]
    message = error_of(check_config, load_config(opts=["MODEL.DEVICE", "cpu", *keys]))
    assert_says(message, f"{key} is '{name}'", "upright boxes", "choose another")


@pytest.mark.parametrize("name", ["RetinaNet", "GeneralizedRCNN"])
def test_detectors_of_detectron2_in_upright_boxes_are_taken(name):
    check_config(load_config(opts=["MODEL.DEVICE", "cpu", "MODEL.META_ARCHITECTURE", name]))


def test_what_a_one_stage_detector_does_not_read_is_no_mistake():
    keys = (*ONE_STAGE, "MODEL.PROPOSAL_GENERATOR.NAME", "RRPN")
    check_config(load_config(opts=["MODEL.DEVICE", "cpu", *keys]))
