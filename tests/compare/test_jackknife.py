import numpy as np
import pytest

from imbdet.compare.accumulation import average_precisions
from imbdet.compare.jackknife import NUM_GROUPS, draw_groups, replicated_ap
from imbdet.evaluation.matches import match
from imbdet.figures.class_ap import class_ap
from imbdet.figures.coco_table import coco_table
from imbdet.figures.estimates import Estimate, estimate, nan_mean
from tests.compare.problems import ground_truth, place, worked_example
from tests.evaluation.conftest import imperfect_detections

MANY = np.full(4, 100)  # images with objects of each area


def test_groups_are_of_equal_size_and_always_the_same():
    assert sorted(draw_groups(7)) == list(range(7))
    groups = draw_groups(3 * NUM_GROUPS + 1)
    assert sorted(np.bincount(groups)) == [3] * (NUM_GROUPS - 1) + [4]
    assert (groups == draw_groups(3 * NUM_GROUPS + 1)).all()
    assert (np.diff(groups) != 1).any()  # not in the order of the images


def test_interval_of_a_mean_is_that_of_the_t_test():
    sample = np.array([3.0, 5.0, 4.0, 8.0])
    by_half = (2 * sample.sum() - sample) / (2 * 4 - 1)
    found = estimate(np.array([5, *5 + 2 * (by_half - 5)]), 4)
    reach = 3.182 * sample.std(ddof=1) / 2  # 3 degrees of freedom
    reach *= (1 - 1 / 49) ** 0.5  # to which the variance is right
    assert (found.value, found.low, found.high) == pytest.approx(
        (5, 5 - reach, 5 + reach), abs=1e-3
    )


@pytest.mark.parametrize(
    ("num_images", "quantile"),
    [(3, 4.303), (4, 3.182), (5, 2.776), (11, 2.228), (31, 2.042), (100, 1.984), (9999, 1.984)],
)
def test_quantiles_of_t(num_images, quantile):
    values = np.array([0.0, *[-1.0, 1.0] * 50])
    found = estimate(values, num_images)
    assert found.high == -found.low == pytest.approx(10 * quantile, rel=2e-4)


def test_nothing_has_no_interval():
    assert np.isnan(estimate(np.array([7.0]), 3).low)
    assert np.isnan(estimate(np.full(5, np.nan), 3).low)


@pytest.mark.parametrize(
    ("num_images", "verdict"), [(1, "undecided"), (2, "undecided"), (3, "better")]
)
def test_a_gain_in_one_or_two_images_may_be_chance(num_images, verdict):
    found = estimate(np.full(4, 7.0), num_images)
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
    """(1 + G, K, A, T) AP of two classes, the same for all areas and thresholds."""
    return np.broadcast_to(np.array(values)[:, :, None, None], (len(values), 2, 4, 10))


def test_differences_are_paired():
    # Each group moves both runs by the same amount: the difference is certain, the values are not.
    base = [[10.0, 20.0], [0.0, 10.0], [20.0, 30.0], [10.0, 20.0]]
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
    base, other = ap(*[[10.0, 20.0]] * 4), ap(*[[9.0, 25.0]] * 4)
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
    base, other = ap(*[[10.0, 20.0]] * 4), ap(*[[15.0, 25.0]] * 4)
    found = class_ap(["a", "b"], np.array([9, 9]), np.array([1, 9]), {"base": base, "other": other})
    assert [d.verdict for d in found.differences["other"]] == ["undecided", "better"]


def test_objects_of_an_area_in_one_image_are_undecided():
    values = {"base": ap(*[[10.0, 20.0]] * 4), "other": ap(*[[15.0, 25.0]] * 4)}
    differences = coco_table(np.array([9, 1, 9, 9]), values).differences["other"]
    undecided = [metric for metric, found in differences.items() if found.verdict == "undecided"]
    assert undecided == ["APs"]


def test_a_group_is_left_out_by_half_and_the_change_doubled(sample):
    by_class = match(sample, imperfect_detections(sample, seed=0)).by_class
    groups = np.arange(len(sample["images"])) % 3
    values = replicated_ap(by_class, groups)
    num_checked = 0
    for k, found in enumerate(by_class.values()):
        of_all = 100 * average_precisions(found, np.ones((1, len(groups)), dtype=np.int32))[0]
        np.testing.assert_allclose(values[0, k], of_all)
        for group in range(3):
            weights = np.where(groups == group, 1, 2)[None]
            by_half = 100 * average_precisions(found, weights)[0]
            for area, num_objects in enumerate(found.num_objects):
                if len(set(groups[num_objects > 0])) != 1:
                    expected = 2 * by_half[area] - of_all[area]
                    np.testing.assert_allclose(values[1 + group, k, area], expected)
                    num_checked += np.isfinite(expected[0])
    assert num_checked > 10


def test_a_class_in_one_group_is_put_to_the_mean_of_the_classes():
    values = replicated_ap(worked_example().by_class, np.array([0, 1]))
    assert values.shape == (3, 2, 4, 10)
    # Class b is in the second image.
    np.testing.assert_allclose(values[2, 1, 0], values[0, :, 0].mean(axis=0))
    np.testing.assert_array_equal(values[1, 1, 0], values[0, 1, 0])
    assert np.isnan(values[:, :, 1]).all()  # no small objects


def test_no_class_is_lost():
    num_images, num_classes = 60, 200
    rng = np.random.default_rng(0)
    images = [rng.choice(num_images, 2, replace=False) + 1 for _ in range(num_classes)]
    truth = ground_truth(
        [(int(own), 0, k) for k, (own, _) in enumerate(images, 1)],
        num_images=num_images,
        classes=[str(k) for k in range(1, num_classes + 1)],
    )
    # Each class has one object, found behind a wrong detection in another image.
    results = [
        place(int(image), 0, category_id=k, score=score)
        for k, both in enumerate(images, 1)
        for image, score in zip(both, (0.8, 0.9), strict=True)
    ]
    values = replicated_ap(match(truth, results).by_class, draw_groups(num_images))
    assert np.isfinite(values[:, :, 0]).all()
    found = coco_table(MANY, {"a": values, "b": values}).values["a"]["AP"]
    assert found.value == pytest.approx(50)
    assert found.low < found.value < found.high


@pytest.mark.parametrize(("num_images", "num_classes", "num_sets"), [(30, 2, 200), (24, 20, 100)])
def test_intervals_hold_a_known_difference(num_images, num_classes, num_sets):
    # Each image has an object; of 20 classes most have one or two. Both runs find it or do not, the
    # better one more often, and have no wrong detections, so that AP50 is the share found, and its
    # mean is known.
    rng = np.random.default_rng(0)
    shares, num_held = (0.4, 0.6), 0
    for _ in range(num_sets):
        of_images = rng.integers(num_classes, size=num_images) + 1
        truth = ground_truth(
            [(i, 0, int(k)) for i, k in enumerate(of_images, 1)],
            num_images=num_images,
            classes=[str(k) for k in range(1, num_classes + 1)],
        )
        values = {
            share: replicated_ap(
                match(
                    truth,
                    [
                        place(i, 0, category_id=int(k), score=0.5)
                        for i, k in enumerate(of_images, 1)
                        if rng.random() < share
                    ],
                ).by_class,
                draw_groups(num_images),
            )
            for share in shares
        }
        found = coco_table(MANY, values).differences[shares[1]]["AP50"]
        num_held += found.low <= 20 <= found.high
    assert 0.91 * num_sets <= num_held <= 0.99 * num_sets
