import numpy as np
import pytest

from imbdet.evaluation.confusion import confuse
from imbdet.evaluation.kept_detections import keep
from imbdet.evaluation.matches import match
from tests.compare.problems import OBJECTS, RESULTS, ground_truth, place
from tests.evaluation.conftest import imperfect_detections

TRUTH = ground_truth(OBJECTS)


def confusion(results, thresholds, truth=TRUTH):
    matches = match(truth, results)
    return dict(confuse(matches, keep(matches, thresholds)).counts)


def test_right_wrong_and_missed():
    # Of class a two objects are found and one is missed, and two detections are on nothing; the one
    # on the crowd does not count. The object of b is missed: its detection is below the threshold.
    assert confusion(RESULTS, {"a": 0.5, "b": 0.5}) == {
        ("a", "a"): 2,
        ("a", None): 1,
        (None, "a"): 2,
        ("b", None): 1,
    }


def test_another_class_is_a_confusion_not_two_errors():
    results = [place(2, 1, category_id=1, score=0.9), place(1, 0, category_id=2, score=0.8)]
    assert confusion(results, {"a": 0.0, "b": 0.0}) == {
        ("b", "a"): 1,
        ("a", "b"): 1,
        ("a", None): 2,
    }


def test_the_highest_score_is_confused_and_the_second_on_nothing():
    results = [place(2, 1, score=0.5), place(2, 1, score=0.9, shift=10.0)]
    assert confusion(results, {"a": 0.0})["b", "a"] == 1
    assert confusion(results, {"a": 0.0})[None, "a"] == 1


def test_an_object_that_its_own_class_finds_is_not_confused():
    own, other = place(2, 1, category_id=2, score=0.3), place(2, 1, category_id=1, score=0.9)
    counts = confusion([own, other], {"a": 0.0, "b": 0.0})
    assert (counts["b", "b"], counts[None, "a"]) == (1, 1)
    assert ("b", "a") not in counts


@pytest.mark.parametrize("results", [[], RESULTS])
def test_nothing_kept(results):
    assert confusion(results, {}) == {("a", None): 3, ("b", None): 1}


def test_sums_are_those_of_objects_and_of_detections(sample):
    matches = match(sample, imperfect_detections(sample, seed=3))
    kept = keep(matches, dict.fromkeys(matches.by_class, 0.2))
    counts = confuse(matches, kept).counts
    for i, (name, of_class) in enumerate(matches.by_class.items(), 1):
        found = sum(n for (of_object, _), n in counts.items() if of_object == name)
        assert found == of_class.num_objects[0].sum()
        detected = sum(n for (_, detection), n in counts.items() if detection == name)
        places = np.concatenate([kept.right, kept.wrong])
        assert detected == sum(matches.detections[p]["category_id"] == i for p in places)
    assert any(
        of_object and detection and of_object != detection for of_object, detection in counts
    )
