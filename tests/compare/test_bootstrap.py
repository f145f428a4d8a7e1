import numpy as np
import pytest

from imbdet.compare.bootstrap import resample, resampled_ap
from imbdet.evaluation.matches import match
from imbdet.figures.class_ap import class_ap
from imbdet.figures.coco_table import coco_table
from imbdet.figures.estimates import Estimate, estimate, nan_mean
from tests.compare.problems import ground_truth, place, worked_example

MANY = np.full(4, 100)  # images with objects of each area


def test_resamples_draw_as_many_images():
    weights = resample(5, 2000, seed=1)
    assert weights[0].tolist() == [1] * 5
    assert (weights.sum(axis=1) == 5).all()
    assert weights[1:].mean(axis=0) == pytest.approx([1] * 5, abs=0.1)
    assert weights[1:].var(axis=0) == pytest.approx([0.8] * 5, abs=0.1)  # n p (1 - p)
    assert (weights == resample(5, 2000, seed=1)).all()
    assert (weights != resample(5, 2000, seed=2)).any()


def test_interval():
    found = estimate(np.array([7.0, *np.arange(101), np.nan]), 3)
    # Percentiles 2.5 and 97.5 of resamples whose mean is 50.
    assert (found.value, found.low, found.high) == pytest.approx((7.0, 7 - 47.5, 7 + 47.5))
    assert np.isnan(estimate(np.array([7.0]), 3).low)
    assert np.isnan(estimate(np.array([np.nan, 1.0, 2.0]), 3).low)


@pytest.mark.parametrize(
    ("num_images", "verdict"), [(1, "undecided"), (2, "undecided"), (3, "better")]
)
def test_a_gain_in_one_or_two_images_may_be_chance(num_images, verdict):
    found = estimate(np.array([7.0, 7.0, 7.0]), num_images)
    assert found.verdict == verdict
    assert np.isnan(found.low) == (verdict == "undecided")


def test_images_are_counted_by_class_and_area():
    found = worked_example()
    assert found.images_of_class.tolist() == [2, 1]
    assert found.images_of_area.tolist() == [2, 0, 0, 2]  # 100 x 100 pixels are large


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        ((1.0, 0.5, 2.0), "better"),
        ((-1.0, -2.0, -0.5), "worse"),
        ((1.0, -0.5, 2.0), "undecided"),
        ((0.0, 0.0, 0.0), "undecided"),
        ((1.0, np.nan, np.nan), "undecided"),
        ((np.nan, np.nan, np.nan), ""),
    ],
)
def test_verdict(difference, verdict):
    assert Estimate(*difference).verdict == verdict


def test_means_of_nothing():
    values = np.array([[1.0, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(nan_mean(values, axis=1), [1, np.nan])


def ap(*values):
    """(1 + B, K, A, T) of two classes, the same for all areas and thresholds."""
    return np.broadcast_to(np.array(values)[:, :, None, None], (len(values), 2, 4, 10))


def test_differences_are_paired():
    # Resamples move both runs by the same amount: the difference is certain, the values are not.
    base = [[10.0, 20.0], [0.0, 10.0], [20.0, 30.0], [10.0, np.nan]]
    better = [[a + 1, b + 1] for a, b in base]
    table = coco_table(MANY, {"base": ap(*base), "better": ap(*better)})
    assert table.values["base"]["AP"].value == 15
    assert table.values["base"]["AP"].high - table.values["base"]["AP"].low > 15
    difference = table.differences["better"]["AP50"]
    assert (difference.value, difference.low, difference.high) == (1, 1, 1)
    assert "better 16.0 (+1.0 [+1.0, +1.0], better)" in table.sentence()
    rows = table.table().to_pylist()
    assert [row["difference"] for row in rows] == [None] * 6 + [1] * 6
    assert rows[-1]["difference_verdict"] == "better"


def test_metrics_are_those_of_coco():
    values = np.full((1, 2, 4, 10), np.nan)
    values[0, :, 0] = np.arange(10) * 10
    values[0, 0, 1] = 1
    values[0, :, 2] = 2
    table = coco_table(np.array([9, 9, 9, 0]), {"base": values, "other": values})
    found = {metric: value.value for metric, value in table.values["base"].items()}
    assert found == {"AP": 45, "AP50": 0, "AP75": 50, "APs": 1, "APm": 2}
    assert "no interval" in table.sentence()
    assert table.sentence().endswith(" There are no large objects for APl.")
    assert table.text().splitlines()[0].split()[-1] == "APm"


def test_classes_are_sorted_by_their_change():
    base, other = ap([10.0, 20.0], [10.0, 20.0]), ap([9.0, 25.0], [9.5, 26.0])
    found = class_ap(["a", "b"], np.array([3, 7]), np.array([3, 7]), {"base": base, "other": other})
    assert found.classes == ["b", "a"]
    assert found.num_objects == [7, 3]
    assert [d.value for d in found.differences["other"]] == [5, -1]
    assert [d.low for d in found.differences["other"]] == [5, -1]
    assert found.sentence() == (
        "other is better in 1 of 2 classes, worse in 1, undecided in 0; from -1.0 (a) to +5.0 (b)."
    )
    assert found.table().num_rows == 4


def test_classes_without_objects_are_left_out():
    both = ap([10.0, np.nan], [10.0, np.nan])
    assert class_ap(
        ["a", "b"], np.array([3, 0]), np.array([3, 0]), {"x": both, "y": both}
    ).classes == ["a"]


def test_a_class_in_one_image_is_undecided():
    base, other = ap([10.0, 20.0], [10.0, 20.0]), ap([15.0, 25.0], [15.0, 25.0])
    found = class_ap(["a", "b"], np.array([9, 9]), np.array([1, 9]), {"base": base, "other": other})
    assert [d.verdict for d in found.differences["other"]] == ["undecided", "better"]


def test_objects_of_an_area_in_one_image_are_undecided():
    values = {"base": ap([10.0, 20.0], [10.0, 20.0]), "other": ap([15.0, 25.0], [15.0, 25.0])}
    differences = coco_table(np.array([9, 1, 9, 9]), values).differences["other"]
    undecided = [metric for metric, found in differences.items() if found.verdict == "undecided"]
    assert undecided == ["APs"]


def test_ap_of_resamples_is_in_percent():
    weights = resample(2, 3, seed=0)
    values = resampled_ap(worked_example().by_class, weights)
    assert values.shape == (4, 2, 4, 10)
    assert values[0, 0, 0, 9] == pytest.approx(3400 / 101)


def test_values_of_many_rare_classes_are_in_their_intervals():
    # Each class has one object, found behind a wrong detection in another image, so that its AP is
    # 50; it is 100 without the other image, and no part of the mean without its own.
    num_images, num_classes = 60, 200
    rng = np.random.default_rng(0)
    images = [rng.choice(num_images, 2, replace=False) + 1 for _ in range(num_classes)]
    classes = range(1, num_classes + 1)
    truth = ground_truth(
        [(int(own), 0, k) for k, (own, _) in zip(classes, images, strict=True)],
        num_images=num_images,
        classes=[str(k) for k in classes],
    )
    results = [
        place(int(image), 0, category_id=k, score=score)
        for k, both in zip(classes, images, strict=True)
        for image, score in zip(both, (0.8, 0.9), strict=True)
    ]
    values = resampled_ap(match(truth, results).by_class, resample(num_images, 100, seed=0))
    found = coco_table(MANY, {"a": values, "b": values}).values["a"]["AP"]
    assert found.value == pytest.approx(50)
    assert found.low < found.value < found.high
    # As the resamples are, they would leave it out.
    assert np.quantile(nan_mean(values[1:, :, 0], axis=(1, 2)), 0.025) > 50


def test_intervals_hold_a_known_difference():
    # Means over 50 images that are as hard for both runs; the second is better by 1.
    rng = np.random.default_rng(0)
    weights, num_held = resample(50, 300, seed=0), 0
    for _ in range(1000):
        hardness = rng.normal(size=50)
        runs = [weights @ (hardness + rng.normal(better, 1, 50)) / 50 for better in (0, 1)]
        found = estimate(runs[1] - runs[0], 50)
        num_held += found.low <= 1 <= found.high
    assert 930 <= num_held <= 970
