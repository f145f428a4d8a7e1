"""Weights in other layouts become those of a detector's backbone, with the same features."""

import re
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from imbdet.engine.checkpoint import SafeCheckpointer
from imbdet.modeling import TimmBackbone, build_model
from tests.modeling.conftest import small_config

TOOLS = Path(__file__).parents[2] / "tools"

pytest.importorskip("timm")


@pytest.fixture
def convert_backbone(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import convert_backbone

    return convert_backbone


def pretend_to_train(network):
    """Set scales, shifts and statistics of normalization that a training might have left."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 1.5)


def mobilenet_maps(network, images):
    ends = {1: "res1", 3: "res2", 6: "res3", 13: "res4", 17: "res5"}
    maps = {}
    for i, layer in enumerate(network.features):
        images = layer(images)
        if i in ends:
            maps[ends[i]] = images
    return maps


def resnet_maps(network, images):
    maps = {"res1": network.relu(network.bn1(network.conv1(images)))}
    x = network.maxpool(maps["res1"])
    for i in range(1, 5):
        x = maps[f"res{i + 1}"] = getattr(network, f"layer{i}")(x)
    return maps


@pytest.mark.parametrize(
    ("name", "timm_name", "find_maps"),
    [
        ("mobilenet_v2", "mobilenetv2_100", mobilenet_maps),
        ("resnet18", "resnet18", resnet_maps),
    ],
)
def test_features_are_those_of_the_original(convert_backbone, tmp_path, name, timm_name, find_maps):
    torch.manual_seed(0)
    original = getattr(torchvision.models, name)(weights=None).eval()
    pretend_to_train(original)
    torch.save({"state_dict": original.state_dict()}, tmp_path / "original.pth")
    target = tmp_path / "converted.pth"
    assert (
        convert_backbone.main([timm_name, str(target), "--source", f"{tmp_path}/original.pth"]) == 0
    )
    opts = ["MODEL.BACKBONE.NAME", "build_timm_fpn_backbone", "MODEL.TIMM.NAME", timm_name]
    model = build_model(small_config("faster_rcnn", *opts))
    SafeCheckpointer(model).load(str(target))
    images = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        expected, found = (
            find_maps(original.double(), images),
            model.double().backbone.bottom_up(images),
        )
    assert found.keys() == expected.keys()
    for stage in found:
        torch.testing.assert_close(found[stage], expected[stage], rtol=1e-5, atol=1e-5)


def test_timm_s_own_weights_are_fetched(convert_backbone, tmp_path, monkeypatch):
    import timm

    torch.manual_seed(0)
    published = timm.create_model("test_convnext")

    def fetch(name, *, pretrained):
        assert (name, pretrained) == ("test_convnext.r160_in1k", True)
        return published

    backbone = TimmBackbone("test_convnext", in_channels=3, freeze_at=0, freeze_norm=True)
    monkeypatch.setattr(convert_backbone, "TimmBackbone", lambda *_, **__: backbone)
    monkeypatch.setattr(timm, "create_model", fetch)
    assert convert_backbone.main(["test_convnext.r160_in1k", str(tmp_path / "own.pth")]) == 0
    weights = torch.load(tmp_path / "own.pth", weights_only=True)["model"]
    backbone.load_state_dict({k.removeprefix("backbone.bottom_up."): v for k, v in weights.items()})
    images = torch.randn(1, 3, 64, 64)
    expected = published.eval().forward_intermediates(images, intermediates_only=True)
    for x, y in zip(backbone.eval()(images).values(), expected, strict=True):
        torch.testing.assert_close(x, y)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Cannot read '.*weights.pth': it cannot be read"),
        ([1, 2], "Cannot read .* of type list"),
        (
            {"conv.weight": torch.zeros(2)},
            "where 'body.*' .* should be, there is 'conv.weight' .2,",
        ),
        ({}, "there is 'nothing'"),
    ],
)
def test_other_files_are_refused(convert_backbone, tmp_path, content, message, capsys):
    if content is not None:
        torch.save(content, tmp_path / "weights.pth")
    args = ["test_resnet", str(tmp_path / "out.pth"), "--source", str(tmp_path / "weights.pth")]
    assert convert_backbone.main(args) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert not (tmp_path / "out.pth").exists()
