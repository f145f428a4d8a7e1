import numpy as np
import pytest

from imbdet.evaluation.matches import match
from tests.compare.problems import OBJECTS, RESULTS, ground_truth, worked_example


def test_worked_example():
    matches = worked_example()
    a, b = matches.by_class.values()
    assert a.scores.tolist() == [0.9, 0.8, 0.7, 0.6, 0.5]
    assert a.image_idxs.tolist() == [0, 1, 1, 0, 0]
    assert a.detection_idxs.tolist() == [0, 1, 2, 3, 4]
    assert a.object_idxs.tolist() == [0, -1, 2, 3, -1]
    assert a.ious == pytest.approx([1, 0, 2 / 3, 0, 9 / 11])
    assert a.match_ious == pytest.approx([1, np.nan, 2 / 3, 1, np.nan], nan_ok=True)
    assert a.is_counted[0, 0].tolist() == [True, True, True, False, True]
    assert a.is_correct[0, :, 0].all()
    assert a.is_correct[0, :, 2].tolist() == [True] * 4 + [False] * 6  # 0.5 to 0.65
    assert not a.is_correct[0][:, [1, 3, 4]].any()
    assert a.num_objects.tolist() == [[2, 1], [0, 0], [0, 0], [2, 1]]  # all large
    assert b.num_objects[0].tolist() == [0, 1]
    assert b.is_counted[0, 0].tolist() == [True]
    assert not b.is_correct.any()
    assert matches.num_objects.tolist() == [3, 1]


def test_only_large_detections_count_among_large_objects():
    a = worked_example().by_class["a"]
    assert a.is_counted[3, 0].tolist() == [True, True, True, False, True]
    assert not a.is_counted[1:3].any()


@pytest.mark.parametrize(
    ("objects", "results"), [(OBJECTS, []), ([], RESULTS), ([], [])], ids=["O", "R", "neither"]
)
def test_nothing(objects, results):
    matches = match(ground_truth(objects), results)
    a = matches.by_class["a"]
    assert len(a.scores) == (5 if results else 0)
    assert a.is_correct.shape == (4, 10, len(a.scores))
    assert not a.is_correct.any()
    assert not a.ious.any()
    assert a.num_objects[0].sum() == (3 if objects else 0)


def test_unlisted_images_are_left_out():
    matches = match(ground_truth(OBJECTS, num_images=1), RESULTS)
    assert matches.by_class["a"].detection_idxs.tolist() == [0, 1, 2]
    assert [matches.detections[i]["score"] for i in (0, 1, 2)] == [0.9, 0.6, 0.5]
    assert matches.num_objects.tolist() == [2, 0]
