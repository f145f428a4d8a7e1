import numpy as np
import pytest

from imbdet.evaluation.kept_detections import keep
from imbdet.evaluation.matches import match
from tests.compare.problems import OBJECTS, RESULTS, ground_truth

TRUTH = ground_truth(OBJECTS)


def test_thresholds_sort_the_detections():
    matches = match(TRUTH, RESULTS)
    kept = keep(matches, {"a": 0.5, "b": 0.5})
    assert kept.right.tolist() == [0, 2]
    assert kept.wrong.tolist() == [1, 4]  # the one on the crowd is neither
    assert kept.missed.tolist() == [1, 4]
    # Numbers of right, wrong and missed in images 1 and 2.
    assert kept.counts(matches).tolist() == [[1, 1], [1, 1], [1, 1]]
    assert keep(matches, {"a": 0.85, "b": 0.4}).counts(matches).tolist() == [
        [1, 0],
        [0, 1],
        [1, 2],
    ]


@pytest.mark.parametrize("thresholds", [{}, {"a": np.nan, "b": np.nan}])
def test_without_a_threshold_nothing_is_kept(thresholds):
    matches = match(TRUTH, RESULTS)
    assert keep(matches, thresholds).counts(matches).tolist() == [[0, 0], [0, 0], [2, 2]]
