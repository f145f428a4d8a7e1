import importlib.util

import matplotlib as mpl
import numpy as np
import pytest

from imbdet.evaluation.comparison import compare
from imbdet.evaluation.matches import match
from imbdet.figures.error_types import ERROR_TYPES, error_types
from imbdet.figures.study import NothingToShow
from tests.compare.problems import OBJECTS, RESULTS, ground_truth, place
from tests.evaluation.conftest import imperfect_detections

needs_tidecv = pytest.mark.skipif(
    importlib.util.find_spec("tidecv") is None, reason="tidecv is optional"
)


def test_without_tidecv_it_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NothingToShow, match="it needs tidecv"):
        error_types({})


@needs_tidecv
def test_ap_is_that_of_coco(sample):
    # Crowds, images without objects, and classes that only detections have.
    detections = imperfect_detections(sample, seed=0)
    precision = compare(sample, detections, iou_type="bbox", library="pycocotools").precision[
        0, ..., 0, -1
    ]
    found = error_types({"run": match(sample, detections)})
    assert found.ap50["run"] == pytest.approx(100 * precision[precision > -1].mean())


@needs_tidecv
@pytest.mark.parametrize(
    ("extra", "error"),
    [
        (place(1, 0, category_id=2, score=0.95), "class"),
        (place(1, 0, shift=50.0, score=0.95), "localisation"),  # IoU 1/3
        (place(1, 0, shift=50.0, category_id=2, score=0.95), "both"),
        (place(1, 0, shift=5.0, score=0.85), "duplicate"),
        (place(1, 5, score=0.95), "background"),
        (place(1, 2, score=0.95), None),  # on a crowd
    ],
)
def test_each_type_of_error(extra, error):
    objects = [(1, 0, 1), (1, 1, 1), (1, 2, 1, "crowd"), (2, 0, 2)]
    right = [place(1, 0, score=0.9), place(1, 1, score=0.8), place(2, 0, 2, score=0.7)]
    found = error_types({"run": match(ground_truth(objects), [*right, extra])})
    gains = found.gains["run"]
    assert list(gains) == list(ERROR_TYPES.values())
    assert {name for name, gain in gains.items() if gain} - {"false positives"} == {error} - {None}
    assert (found.ap50["run"] < 99) == (error is not None)


@needs_tidecv
def test_a_run_without_detections_is_said():
    matches = [match(ground_truth(OBJECTS), results) for results in (RESULTS, [])]
    found = error_types(dict(zip(("some", "none"), matches, strict=True)))
    assert np.isnan(list(found.gains["none"].values())).all()
    assert found.ap50["none"] == 0
    assert "none has no detections" in found.sentence()
    assert found.table().num_rows == 16


@needs_tidecv
def test_figures_keep_their_style():
    before = dict(mpl.rcParams)
    error_types({"run": match(ground_truth(OBJECTS), RESULTS)})
    assert dict(mpl.rcParams) == before
