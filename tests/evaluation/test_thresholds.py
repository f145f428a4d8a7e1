import json
import math

import pytest

from imbdet.evaluation.lrp import OptimalLRP
from imbdet.evaluation.thresholds import FALLBACK, ScoreThresholds, read_thresholds


def lrp(olrp=60.0, threshold=0.5):
    return OptimalLRP(olrp=olrp, localisation=20.0, fp=10.0, fn=30.0, threshold=threshold)


NOTHING_HELPS = OptimalLRP(100.0, math.nan, math.nan, 100.0, math.nan)
NO_OBJECTS = OptimalLRP(*[math.nan] * 5)


def test_each_class_has_its_own():
    thresholds = ScoreThresholds.best({"cat": lrp(threshold=0.62), "dog": lrp(threshold=0.25)})
    assert thresholds.shows("cat", 0.62)  # from the threshold on
    assert not thresholds.shows("cat", 0.61)
    assert thresholds.shows("dog", 0.3)
    assert str(thresholds) == "≥ 0.25 to 0.62, by class"
    assert thresholds.describe() == "from the best threshold of each class on (cat 0.62, dog 0.25)"


def test_a_class_that_is_best_left_out_is_not_shown():
    thresholds = ScoreThresholds.best({"cat": lrp(threshold=0.6), "dog": NOTHING_HELPS})
    assert not thresholds.shows("dog", 1.0)
    assert str(thresholds) == "≥ 0.60"
    assert "dog none" in thresholds.describe()


def test_classes_without_objects_are_as_the_others():
    values = {"a": lrp(threshold=0.7), "b": lrp(threshold=0.8), "c": lrp(threshold=0.9)}
    thresholds = ScoreThresholds.best({**values, "none": NO_OBJECTS})
    for name in ("none", "never heard of"):
        assert thresholds.shows(name, 0.8)
        assert not thresholds.shows(name, 0.79)


@pytest.mark.parametrize("values", [{}, {"cat": NO_OBJECTS}])
def test_without_any_objects_it_is_one_for_all(values):
    assert ScoreThresholds.best(values) == ScoreThresholds.fixed(FALLBACK)


def test_all_classes_may_be_best_left_out():
    thresholds = ScoreThresholds.best({"cat": NOTHING_HELPS})
    assert str(thresholds) == "of no class"


def test_many_classes_are_not_all_named():
    values = {f"class {i}": lrp(threshold=i / 100) for i in range(20, 60)}
    words = ScoreThresholds.best({**values, "x": NOTHING_HELPS}).describe()
    assert words == (
        "from the best threshold of each class on (≥ 0.20 to 0.59, by class, none of 1 class)"
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[]", "has no 'optimal_lrp'"),
        ('{"metrics": {}}', "has no 'optimal_lrp'"),
        ('{"optimal_lrp": {"cat": 0.5}}', "'optimal_lrp' of 'cat' is damaged"),
        ('{"optimal_lrp": {"cat": {"olrp": "x"}}}', "'optimal_lrp' of 'cat' is damaged"),
        ('{"optimal', "Unterminated"),
    ],
)
def test_a_damaged_evaluation_is_a_value_error(tmp_path, content, problem):
    path = tmp_path / "metrics.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=problem):
        read_thresholds(path)


def test_null_is_unknown(tmp_path):
    path = tmp_path / "metrics.json"
    fields = {"localisation": None, "fp": None, "fn": 100.0, "threshold": None}
    path.write_text(json.dumps({"optimal_lrp": {"cat": {"olrp": 100.0, **fields}}}))
    assert not read_thresholds(path).shows("cat", 1.0)
