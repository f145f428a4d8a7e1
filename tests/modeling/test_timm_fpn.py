"""Networks of timm under a feature pyramid."""

import builtins
import logging

import pytest
import torch
from detectron2.structures import ImageList
from torch import nn

from imbdet.errors import UserError
from imbdet.modeling import TimmBackbone, build_model
from imbdet.modeling.unread_keys import refuse_unread_keys
from tests.modeling.conftest import make_batch, small_config, train_step

timm = pytest.importorskip("timm")

# A ResNet of 0.4 million parameters, and a mobile network whose layers have other names.
RESNET, MOBILE = "test_resnet", "test_efficientnet"
BACKBONES = {"faster_rcnn": "build_timm_fpn_backbone", "retinanet": "build_p5_timm_fpn_backbone"}
TIMM = ("MODEL.BACKBONE.NAME", "build_timm_fpn_backbone", "MODEL.TIMM.NAME", MOBILE)


def backbone(name=MOBILE, *, freeze_at=0, freeze_norm=True):
    torch.manual_seed(0)
    return TimmBackbone(name, in_channels=3, freeze_at=freeze_at, freeze_norm=freeze_norm)


@pytest.mark.parametrize("kind", BACKBONES)
def test_a_detector_learns(build, kind):
    cfg = small_config(kind, "MODEL.BACKBONE.NAME", BACKBONES[kind], "MODEL.TIMM.NAME", MOBILE)
    refuse_unread_keys(cfg)
    model = build(cfg)
    losses, gradients, _ = train_step(model, make_batch([2, 1]))
    assert all(loss.isfinite() for loss in losses.values())
    learning = [name for name in gradients if name.startswith("backbone.bottom_up")]
    assert learning
    assert all(gradients[name] is not None for name in learning)


@pytest.mark.parametrize(
    ("kind", "levels"),
    [
        ("faster_rcnn", {2: 24, 3: 12, 4: 6, 5: 3, 6: 2}),
        ("retinanet", {3: 12, 4: 6, 5: 3, 6: 2, 7: 1}),
    ],
)
def test_the_levels_are_those_of_the_detector(build, kind, levels):
    cfg = small_config(kind, "MODEL.BACKBONE.NAME", BACKBONES[kind], "MODEL.TIMM.NAME", MOBILE)
    model = build(cfg)
    images = ImageList.from_tensors([torch.zeros(3, 96, 96)], model.backbone.size_divisibility)
    features = model.backbone(images.tensor)
    assert {name: x.shape[-1] for name, x in features.items()} == {
        f"p{level}": side for level, side in levels.items()
    }


@pytest.mark.parametrize("name", [RESNET, MOBILE, "test_convnext"])
def test_maps_have_the_shapes_that_are_told(name):
    network = backbone(name)
    features = network(torch.zeros(1, 3, 64, 96))
    for stage, shape in network.output_shape().items():
        assert stage == f"res{shape.stride.bit_length() - 1}"
        expected = (1, shape.channels, 64 // shape.stride, 96 // shape.stride)
        assert tuple(features[stage].shape) == expected


def test_maps_are_those_of_the_whole_model():
    whole = timm.create_model(MOBILE).eval()
    network = backbone()
    network.body.load_state_dict(whole.state_dict(), strict=False)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = whole.forward_intermediates(images, intermediates_only=True)
        found = network(images).values()  # while it trains: its normalization is frozen
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [RESNET, MOBILE])
@pytest.mark.parametrize("freeze_at", range(6))
def test_frozen_maps_do_not_change_and_the_others_do(name, freeze_at):
    network = backbone(name, freeze_at=freeze_at, freeze_norm=False).train()
    images = torch.randn(2, 3, 64, 64)
    optimizer = torch.optim.SGD(
        [p for p in network.parameters() if p.requires_grad] or [torch.zeros(1)]
    )

    def maps():
        return {stage: x.detach().clone() for stage, x in network.eval()(images).items()}

    before = maps()
    for _ in range(2):
        optimizer.zero_grad()
        total = sum(x.square().mean() for x in network.train()(images).values())
        if total.requires_grad:
            total.backward()
        optimizer.step()
    for stage, x in maps().items():
        is_frozen = network.output_shape()[stage].stride <= 2**freeze_at
        assert torch.equal(x, before[stage]) == is_frozen, stage


@pytest.mark.parametrize("freeze_norm", [True, False])
def test_normalization_is_frozen_under_the_same_names(freeze_norm):
    network = backbone(freeze_norm=freeze_norm)
    is_left = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert is_left != freeze_norm
    state = {name for name in network.state_dict() if "num_batches" not in name}
    assert state == {n for n in backbone(freeze_norm=True).state_dict() if "num_batches" not in n}


def test_bad_names_are_told():
    with pytest.raises(
        UserError, match=r"'mobilenetv2_10', which timm .* Did you mean .*'mobilenetv2_100'"
    ):
        backbone("mobilenetv2_10")
    with pytest.raises(UserError, match=r"'test_vit', whose maps have the strides \[16, 16, 16"):
        backbone("test_vit")
    with pytest.raises(UserError, match="in the form NHWC"):
        backbone("mambaout_femto")
    with pytest.raises(UserError, match=r"MODEL.TIMM.NAME is empty"):
        build_model(small_config("faster_rcnn", *TIMM[:2]))
    with pytest.raises(
        UserError, match=r"has 'res7', but 'test_efficientnet' has res1, res2, .*res5"
    ):
        build_model(small_config("faster_rcnn", *TIMM, "MODEL.FPN.IN_FEATURES", ["res3", "res7"]))


def test_a_missing_library_is_told(monkeypatch):
    real = builtins.__import__

    def without_timm(name, *args, **kwargs):
        if name == "timm":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_timm)
    with pytest.raises(UserError, match=r"not installed: pip install 'imbdet\[timm\]'"):
        build_model(small_config("faster_rcnn", *TIMM))


@pytest.mark.parametrize("image_format", ["RGB", "BGR"])
def test_pixels_of_other_images_are_told(image_format, caplog):
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    if image_format == "BGR":
        mean, std = mean[::-1], std[::-1]
    opts = ["INPUT.FORMAT", image_format, "MODEL.TIMM.NAME", "mobilenetv2_035", *TIMM[:2]]
    with caplog.at_level(logging.WARNING):
        build_model(
            small_config("faster_rcnn", *opts, "MODEL.PIXEL_MEAN", mean, "MODEL.PIXEL_STD", std)
        )
        assert not caplog.messages
        build_model(small_config("faster_rcnn", *opts))
    assert any(f"are of images with {std}" in message for message in caplog.messages)


def test_its_keys_are_refused_beside_another_backbone():
    cfg = small_config("faster_rcnn", "MODEL.TIMM.NAME", MOBILE)
    with pytest.raises(UserError, match=r"MODEL.TIMM is set, but the backbone is 'build_resnet"):
        refuse_unread_keys(cfg)
