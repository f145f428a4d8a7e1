import numpy as np
import pytest

from imbdet.evaluation.lrp import OptimalLRP, optimal_lrp
from imbdet.evaluation.matches import match
from tests.compare.problems import OBJECTS, ground_truth, worked_example
from tests.evaluation.conftest import imperfect_detections


def lrp_at(sample, detections, name, threshold):
    """LRP by its definition: match the detections above the threshold, then count."""
    kept = [record for record in detections if record["score"] >= threshold]
    found = match(sample, kept).by_class[name]
    rows = found.is_counted[0, 0]
    is_right = found.is_correct[0, 0, rows]
    right, wrong = is_right.sum(), (~is_right).sum()
    missed = found.num_objects[0].sum() - right
    misfits = 1 - found.match_ious[rows][is_right]
    with np.errstate(invalid="ignore"):
        return OptimalLRP(
            olrp=100 * (misfits.sum() / 0.5 + wrong + missed) / (right + wrong + missed),
            localisation=100 * misfits.sum() / right,
            fp=100 * wrong / (right + wrong),
            fn=100 * missed / (right + missed),
            threshold=threshold,
        )


@pytest.mark.parametrize("decimals", [None, 1], ids=["", "ties"])
def test_no_threshold_is_better(sample, decimals):
    detections = imperfect_detections(sample, seed=3, decimals=decimals)
    matches = match(sample, detections)
    by_size = sorted(matches.by_class, key=lambda name: -len(matches.by_class[name].scores))
    for name in by_size[:3]:
        own, of_class = restrict(sample, detections, name)
        tried = [lrp_at(of_class, own, name, r["score"]) for r in own]
        best = min(tried, key=lambda lrp: (lrp.olrp, -lrp.threshold))
        found = optimal_lrp(matches.by_class[name])
        assert best.olrp < 100
        assert vars(found) == pytest.approx(vars(best))


def restrict(sample, detections, name):
    """The detections and the ground truth of one class."""
    (category,) = (c for c in sample["categories"] if c["name"] == name)
    own, annotations = (
        [record for record in records if record["category_id"] == category["id"]]
        for records in (detections, sample["annotations"])
    )
    return own, {**sample, "categories": [category], "annotations": annotations}


def test_worked_example():
    a, b = worked_example().by_class.values()
    # Of 3 objects: the first detection alone 2 / 3; with the second 3 / 4; with the third, whose
    # misfit is 1/3, (2/3 + 1 + 1) / 4 = 2 / 3; the crowd's is not counted.
    assert optimal_lrp(a) == OptimalLRP(
        pytest.approx(200 / 3), localisation=0, fp=0, fn=pytest.approx(200 / 3), threshold=0.9
    )
    assert vars(optimal_lrp(b)) == pytest.approx(
        {"olrp": 100, "localisation": np.nan, "fp": np.nan, "fn": 100, "threshold": np.nan},
        nan_ok=True,
    )


def test_nothing_is_right():
    assert optimal_lrp(match(ground_truth(OBJECTS), []).by_class["a"]).olrp == 100
    assert np.isnan(optimal_lrp(match(ground_truth([]), []).by_class["a"]).olrp)
