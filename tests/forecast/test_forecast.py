"""``imbdet forecast``: from a space and a checkpoint to a ranking, and its refusals."""

import csv
import json

import pytest
import torch

import imbdet.cli
from imbdet.analysis.frozen_detector import FrozenDetector
from imbdet.config import load_config
from imbdet.errors import UserError
from imbdet.forecast.rules import build_rules
from imbdet.losses import ClassFrequencies
from imbdet.modeling import build_model
from imbdet.search.space import read_space
from tests.test_train_net import CONFIGS, TINY

pytestmark = pytest.mark.usefixtures("restored_loggers", "own_datasets")

SPACE = """
axes:
  rule:
    focal: []
    l1: "imbdet://Loss-L1.yaml"
    ap: "imbdet://Loss-AP.yaml"
    atss: ["imbdet://Assigner-ATSS.yaml", {SOLVER.BASE_LR: 0.1}]
"""
FREQUENCIES = ClassFrequencies(
    10, images=torch.tensor([9, 5, 1]), instances=torch.tensor([9, 5, 1])
)


def keys_of(**overrides):
    keys = {**TINY, "SEED": 3, "SOLVER.IMS_PER_BATCH": 1, "DATASETS.SHAPES.NUM_VAL": 10}
    return [str(x) for pair in {**keys, "MODEL.DEVICE": "cpu", **overrides}.items() for x in pair]


def config_file(name):
    return str(CONFIGS / "quick_start" / f"{name}.yaml")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.pth"
    cfg = load_config(config_file("retinanet"), opts=keys_of())
    torch.save({"model": build_model(cfg).state_dict()}, path)
    return path


@pytest.fixture
def run(tmp_path):
    def forecast(text, *options, **overrides):
        (tmp_path / "space.yaml").write_text(text)
        args = ["--config-file", config_file("retinanet"), "--space", str(tmp_path / "space.yaml")]
        args += ["--output", str(tmp_path / "o"), *options, *keys_of(**overrides)]
        return imbdet.cli.main(["forecast", *args])

    return forecast


def test_a_ranking_is_printed_and_written(run, weights, tmp_path, capsys):
    assert run(SPACE, "--weights", str(weights)) == 0
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "o" / "forecast.json").read_text())
    assert found["validation"] == {"dataset": "shapes_val", "images": 10}
    assert found["training"]["images"] == 10
    assert all(sentence in printed for sentence in found["sentences"])
    rules = {rule["rule"]: rule for rule in found["rules"]}
    assert set(rules) == {"focal", "l1", "ap", "atss"}
    # A rule that differs in its box loss alone has the same gradient of the logits.
    assert rules["l1"]["difference"]["value"] == pytest.approx(0, abs=1e-6)
    assert rules["l1"]["verdict"] == "undecided"
    assert rules["focal"]["difference"] is None
    for rule in rules.values():
        alignment = rule["alignment"]
        assert -1 <= alignment["low"] <= alignment["value"] <= alignment["high"] <= 1.2
        assert set(rule["by_size"]) == {"small", "medium", "large"}
    with open(tmp_path / "o" / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rule"] for row in rows] == [rule["rule"] for rule in found["rules"]]


ONE = "axes: {rule: {focal: []}}"
TWO = "axes: {rule: {focal: [], ap: 'imbdet://Loss-AP.yaml'}}"
BAD_INPUT = {
    "one rule": (ONE, [], {}, "one rule alone, focal"),
    "no weights": (TWO, [], {}, "MODEL.WEIGHTS is empty"),
    "missing weights": (TWO, ["--weights", "nowhere.pth"], {}, "nowhere.pth"),
    "no validation": (TWO, ["--weights", "x"], {"DATASETS.TEST": "()"}, "DATASETS.TEST is empty"),
    "no training": (TWO, ["--weights", "x"], {"DATASETS.TRAIN": "()"}, "DATASETS.TRAIN is empty"),
    "no such class": (
        TWO,
        ["--weights", "x"],
        {"MODEL.CLASS_WEIGHTS": "[{'cat': 2.0}]"},
        "MODEL.CLASS_WEIGHTS names a class 'cat'",
    ),
    "few images": (TWO, ["--weights", "x"], {"SOLVER.IMS_PER_BATCH": 2}, "20 images by SOLVER."),
    "no such rule": ("axes: {rule: {a: 'imbdet://Loss-X.yaml'}}", [], {}, "Loss-X.yaml"),
    "no such key": ("axes: {rule: {a: {MODEL.X: 1}}}", [], {}, "MODEL.X"),
    "few of them": (TWO, ["--num-images", "0"], {}, "0 is less than 1"),
}


@pytest.mark.parametrize(
    ("text", "options", "overrides", "message"), BAD_INPUT.values(), ids=BAD_INPUT.keys()
)
def test_bad_input_is_one_clear_error(text, options, overrides, message, run, capsys):
    try:
        status = run(text, *options, **overrides)
    except SystemExit as stop:  # argparse's
        status = stop.code
    assert status == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.fixture(scope="module")
def detectors(datasets_dir):
    """Detectors by their config."""
    configs = {}
    for name in ("retinanet", "faster_rcnn"):
        cfg = load_config(config_file(name), opts=keys_of())
        configs[name] = cfg, FrozenDetector(cfg)
    return configs


REFUSED = {
    "another detector": (
        "retinanet",
        "{MODEL.RETINANET.NUM_CONVS: 1}",
        "MODEL.RETINANET.NUM_CONVS",
    ),
    "other priors": (
        "retinanet",
        "{MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS: [[1.0]]}",
        "ASPECT_RATIOS",
    ),
    "other images": (
        "retinanet",
        "{DATALOADER.SAMPLER_TRAIN: RepeatFactorTrainingSampler}",
        "SAMPLER",
    ),
    "the RPN": ("faster_rcnn", "{MODEL.RPN_SAMPLER.NEGATIVE.NAME: ohem}", "MODEL.RPN_SAMPLER"),
    "other columns": ("faster_rcnn", "imbdet://Loss-Seesaw.yaml", "objectness"),
    "other scores": ("faster_rcnn", "imbdet://Loss-Focal.yaml", "reads logits as sigmoid"),
    "no meaning here": ("faster_rcnn", "imbdet://Assigner-ATSS.yaml", "MODEL.ASSIGNER.NAME"),
}


def arms_of(tmp_path, name, choice):
    path = tmp_path / "space.yaml"
    path.write_text(f"axes: {{rule: {{own: [], other: [{choice}]}}}}")
    return list(read_space(path, [config_file(name)]).arms.values())


@pytest.mark.parametrize(("name", "choice", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_rules_of_other_candidates_are_refused(name, choice, message, detectors, tmp_path):
    cfg, detector = detectors[name]
    arms = arms_of(tmp_path, name, choice)
    with pytest.raises(UserError, match="The rule 'other' cannot be forecast") as error:
        build_rules(arms, keys_of(), detector, cfg, FREQUENCIES)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("retinanet", "imbdet://Loss-DR.yaml"),
        ("retinanet", "{MODEL.RETINANET.IOU_THRESHOLDS: [0.3, 0.4]}"),
        ("faster_rcnn", "imbdet://PISA.yaml"),
        ("faster_rcnn", "imbdet://Loss-LogitAdjustment.yaml"),
    ],
)
def test_rules_keep_the_place_of_the_detector(name, choice, detectors, tmp_path):
    cfg, detector = detectors[name]
    rules = build_rules(arms_of(tmp_path, name, choice), keys_of(), detector, cfg, FREQUENCIES)
    assert [rule.name for rule in rules] == ["own", "other"]
    assert {rule.learner.place for rule in rules} == {detector.learner.place}
