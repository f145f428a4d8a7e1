import copy

import numpy as np
import pytest

from imbdet.compare.accumulation import average_precisions
from imbdet.evaluation.comparison import compare
from imbdet.evaluation.matches import match
from tests.compare.problems import worked_example
from tests.evaluation.conftest import imperfect_detections


def ours(sample, detections, weights):
    matches = match(sample, detections)
    values = [average_precisions(found, weights[None])[0] for found in matches.by_class.values()]
    return np.stack(values)  # (K, A, T)


def of_coco(sample, detections, library="pycocotools"):
    precision = compare(sample, detections, iou_type="bbox", library=library).precision[..., -1]
    return np.where(precision > -1, precision, np.nan).mean(axis=1).transpose(1, 2, 0)


@pytest.mark.parametrize("library", ["pycocotools", "faster-coco-eval"])
@pytest.mark.parametrize("decimals", [None, 1], ids=["", "ties"])
def test_weights_of_one_are_coco(sample, library, decimals):
    detections = imperfect_detections(sample, seed=0, decimals=decimals)
    ap = ours(sample, detections, np.ones(len(sample["images"]), dtype=int))
    expected = of_coco(sample, detections, library)
    assert np.nanmax(expected[:, 0]) == 1
    np.testing.assert_allclose(ap, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_weight_is_a_number_of_copies(sample, seed):
    detections = imperfect_detections(sample, seed)
    weights = np.random.default_rng(seed).integers(4, size=len(sample["images"]))
    assert set(weights) == {0, 1, 2, 3}
    by_id = sorted(sample["images"], key=lambda image: image["id"])
    copied = {"images": [], "categories": sample["categories"], "annotations": []}
    copied_detections = []
    for image, weight in zip(by_id, weights, strict=True):
        for copy_number in range(weight):
            new_id = f"{image['id']:012d}-{copy_number}"
            copied["images"].append({**image, "id": new_id})
            for records, target in (
                (sample["annotations"], copied["annotations"]),
                (detections, copied_detections),
            ):
                own = (r for r in records if r["image_id"] == image["id"])
                target.extend({**copy.deepcopy(r), "image_id": new_id} for r in own)
    ap = ours(sample, detections, weights)
    np.testing.assert_allclose(ap, of_coco(copied, copied_detections), rtol=0, atol=1e-9)


def test_all_resamples_at_once(monkeypatch, sample):
    matches = match(sample, imperfect_detections(sample, seed=0)).by_class["person"]
    weights = np.random.default_rng(0).integers(3, size=(7, len(sample["images"])))
    one_by_one = np.concatenate([average_precisions(matches, row[None]) for row in weights])
    np.testing.assert_array_equal(average_precisions(matches, weights), one_by_one)
    monkeypatch.setattr("imbdet.compare.accumulation._CHUNK_SIZE", 2 * len(matches.scores))
    np.testing.assert_array_equal(average_precisions(matches, weights), one_by_one)


def test_worked_example():
    a, b = worked_example().by_class.values()
    ap = average_precisions(a, np.array([[1, 1], [1, 0], [0, 1], [0, 0]]))
    # Right, wrong, right, with 3 objects: precision 1 up to recall 1/3, then 2/3 up to recall 2/3.
    assert ap[0, 0, 0] == pytest.approx((34 + 33 * 2 / 3) / 101)
    assert ap[0, 0, 9] == pytest.approx(34 / 101)
    assert ap[1, 0, 0] == pytest.approx(51 / 101)  # one of two, then a wrong one
    assert ap[2, 0, 0] == pytest.approx(1 / 2)  # the only one, behind a wrong one
    assert np.isnan(ap[3]).all()
    assert np.isnan(ap[:, 1]).all()  # no small objects
    assert average_precisions(b, np.ones((1, 2)))[0, 0].tolist() == [0] * 10
