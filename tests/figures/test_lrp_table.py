import numpy as np
import pytest

from imbdet.evaluation.matches import match
from imbdet.figures.lrp_table import lrp_table
from tests.compare.problems import OBJECTS, ground_truth, place


def test_means_are_over_classes_with_objects():
    classes = ("a", "b", "c")
    results = [place(1, 0, score=0.9), place(1, 0, category_id=3, score=0.9)]
    matches = match(ground_truth(OBJECTS, classes=classes), results)
    table = lrp_table({"x": matches.by_class, "y": matches.by_class})
    assert table.classes == ["b", "a"]  # the worst first
    assert table.means("x") == pytest.approx(
        {"olrp": (200 / 3 + 100) / 2, "localisation": 0, "fp": 0, "fn": (200 / 3 + 100) / 2}
    )
    assert table.thresholds("x") == pytest.approx({"a": 0.9, "b": np.nan}, nan_ok=True)
    rows = table.table().to_pylist()
    assert [row["class"] for row in rows] == [None, "b", "a"] * 2
    assert "x 83.3 / 0.0 / 0.0 / 83.3" in table.sentence()


def test_nothing_is_right():
    matches = match(ground_truth(OBJECTS), [])
    table = lrp_table({"x": matches.by_class})
    assert "x 100.0 / - / - / 100.0" in table.sentence()
