"""Priors by the size of an image are those that the detector has for it."""

import pytest
import torch

from imbdet.modeling import build_model
from imbdet.modeling.image_priors import priming_of
from tests.modeling.conftest import small_config

DETECTORS = {"retinanet": (), "faster_rcnn": (), "points": ("MODEL.DENSE.PRIORS", "points")}


@pytest.mark.parametrize(("width", "height"), [(100, 65), (64, 96)])
@pytest.mark.parametrize("name", list(DETECTORS))
def test_priors_are_the_detectors(name, width, height):
    opts = DETECTORS[name]
    if opts:
        opts = ("MODEL.META_ARCHITECTURE", "ImbDense", *opts)
    model = build_model(small_config("retinanet" if opts else name, *opts))
    image = {"image": torch.zeros(3, height, width)}
    features = model.backbone(model.preprocess_image([image]).tensor)
    place = model if name != "faster_rcnn" else model.proposal_generator
    levels = place.head_in_features if name != "faster_rcnn" else place.in_features
    anchors = place.anchor_generator([features[level] for level in levels])
    priming = priming_of(model)
    priors = priming.priors_of(width, height)
    assert torch.equal(priors.boxes, torch.cat([boxes.tensor for boxes in anchors]))
    assert priors.level_sizes == [len(boxes) for boxes in anchors]
    assert priming.strides == tuple(place.anchor_generator.strides)


def test_detectron2s_own_rpn_has_none():
    cfg = small_config("faster_rcnn", "MODEL.PROPOSAL_GENERATOR.NAME", "RPN")
    assert priming_of(build_model(cfg)) is None
