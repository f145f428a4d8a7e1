import numpy as np
import pytest

from imbdet.evaluation.matches import match
from imbdet.figures.score_iou import rank_correlation, score_iou
from imbdet.figures.study import NothingToShow
from tests.compare.problems import OBJECTS, ground_truth, worked_example


def test_rank_correlation():
    x = np.array([0.1, 0.2, 0.3, 0.4])
    assert rank_correlation(x, x**3) == pytest.approx(1)
    assert rank_correlation(x, -(x**3)) == pytest.approx(-1)
    # By hand, ranks 1 2 3 4 and 1.5 1.5 3 4 have a correlation of 4.5 / sqrt(5 * 4.5).
    assert rank_correlation(x, np.array([0, 0, 1, 2])) == pytest.approx(4.5 / np.sqrt(22.5))


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 1.0]])
def test_rank_correlation_of_nothing(values):
    assert np.isnan(rank_correlation(np.array(values), np.array(values)))


def test_worked_example():
    empty = match(ground_truth(OBJECTS), []).by_class
    found = score_iou({"run": worked_example().by_class, "empty": empty})
    counts = found.counts["run"]
    assert counts.sum() == 6
    assert counts[22, 24] == 1  # 0.9, the IoU of 1 in the last bin
    assert counts[17, 16] == 1  # 0.7, 2/3
    assert counts[:, 0].sum() == 3  # of b, on nothing, and on the crowd
    assert found.table()["detections"].to_pylist() == [1] * 6
    # Above 0.5: scores 0.9 0.7 0.5 with IoUs 1, 2/3, 9/11, whose ranks are 3 2 1 and 3 1 2.
    assert found.correlations["run"][1] == pytest.approx(0.5)
    assert found.sentence().endswith("; empty - / -.")


def test_no_detections():
    empty = match(ground_truth(OBJECTS), []).by_class
    with pytest.raises(NothingToShow, match="no run has detections"):
        score_iou({"x": empty, "y": empty})
