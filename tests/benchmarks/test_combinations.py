"""benchmarks/combinations.py trains for an iteration."""

import dataclasses

import pytest

from imbdet.errors import UserError
from imbdet.methods import ASSIGNERS, CLS_LOSSES
from tests.test_configs import CONFIGS


@pytest.fixture
def combinations(monkeypatch, tmp_path):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    monkeypatch.syspath_prepend(str(CONFIGS.parent / "benchmarks"))
    import combinations

    monkeypatch.setattr(
        combinations, "SMALL", [*combinations.SMALL, "DATASETS.SHAPES.NUM_TRAIN", "4"]
    )
    return combinations


@pytest.mark.parametrize(
    ("name", "site", "kind", "names"),
    [
        ("retinanet", "MODEL.SAMPLER", "Sampling", ["", "ohem", "none"]),
        ("faster_rcnn", "MODEL.SAMPLER", "Sampling", ["", "score_hlr", "none"]),
        ("faster_rcnn", "MODEL.RPN_SAMPLER", "Sampling", ["", "iou_balanced", "none"]),
        ("Base-Dense", "MODEL.ASSIGNER", "Assigning", ["simota", "ap", "distributions"]),
    ],
)
def test_a_combination_is_trained(combinations, name, site, kind, names):
    detector = combinations.Detector(name, site, iterations=1)
    row = detector.train(getattr(combinations, kind)(*names))
    assert row["iterations"] == 1
    assert row["not finite"] == 0
    assert row["last loss"] > 0


def test_what_has_no_meaning_is_refused(combinations):
    detector = combinations.Detector("retinanet", "MODEL.SAMPLER", iterations=1)
    with pytest.raises(UserError, match="score_hlr"):
        detector.train(combinations.Sampling("", "score_hlr", "none"))


def test_what_is_not_finite_is_counted(combinations, monkeypatch):
    detector = combinations.Detector("retinanet", "MODEL.SAMPLER", iterations=2)
    nan = dataclasses.replace(
        CLS_LOSSES.get("focal"), call=lambda logits, *_, **__: logits.sum(1) * float("nan")
    )
    monkeypatch.setitem(CLS_LOSSES._methods, "focal", nan)
    row = detector.train(combinations.Sampling("", "", "none"))
    assert row["not finite"] == row["iterations"] == 2


def test_all_are_combined(combinations):
    found = list(combinations.combine_samplers(["none", "soft"]))
    assert found[0] == found[1] == ("", "", "none")
    assert len(set(found[2:])) == 5 * 5 * 2
    found = list(combinations.combine_assigners())
    assert found[0] == found[1] == ("", "", "deltas")
    assert len(set(found[2:])) == len(list(ASSIGNERS)) * len(list(CLS_LOSSES))
