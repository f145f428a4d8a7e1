"""Decisions beyond the chance of images and seeds, on made-up APs whose truth is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from imbdet.figures.estimates import Estimate
from imbdet.search.decision import (
    SeedNoise,
    all_differences,
    decided_worse,
    paired_difference,
    pooled_noise,
)

NUM_GROUPS = 50


def ap_of(groups):
    """(1 + G,) the mean over all groups of images, then without each, as in the jackknife."""
    by_half = (2 * groups.sum() - groups) / (2 * len(groups) - 1)
    return np.append(groups.mean(), groups.mean() + 2 * (by_half - groups.mean()))


def trainings(rng, mean, *, seeds=3, of_seeds=0.0, of_images=0.0):
    """(S, 1 + G) APs of a method, which vary from seed to seed and from group to group."""
    groups = rng.normal(0, of_images, NUM_GROUPS)
    levels = mean + rng.normal(0, of_seeds, (seeds, 1))
    return levels + ap_of(groups)


def test_two_methods_have_the_paired_t_test_of_their_seeds():
    values = np.array([[20.0, 21.5, 23.0, 20.7], [22.0, 22.1, 25.9, 22.4]])
    noise = pooled_noise(values)
    assert noise.freedom == 3
    first, second = (np.repeat(row[:, None], 1 + NUM_GROUPS, axis=1) for row in values)
    found = paired_difference(second, first, noise, NUM_GROUPS, 0.95)
    expected = stats.ttest_rel(values[1], values[0]).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(expected))


def test_one_seed_of_no_noise_has_the_jackknife_of_its_images():
    rng = np.random.default_rng(0)
    groups = rng.normal(1, 2, NUM_GROUPS)
    first = np.tile(ap_of(groups), (2, 1))
    found = paired_difference(first, np.zeros_like(first), SeedNoise(0.0, 1), NUM_GROUPS, 0.95)
    expected = stats.ttest_1samp(groups, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-4)


def test_noise_is_what_methods_and_seeds_leave():
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 5, 400) + np.array([[1.0], [7.0], [30.0]])
    assert pooled_noise(shared).variance == pytest.approx(0, abs=1e-12)
    assert pooled_noise(shared + rng.normal(0, 2, (3, 400))).variance == pytest.approx(4, rel=0.1)


def test_a_method_that_strays_more_than_others_is_judged_by_its_own_seeds():
    rng = np.random.default_rng(0)
    calm = [trainings(rng, 20, of_seeds=0.1) for _ in range(8)]
    wild = 20 + np.repeat([[-9.0], [0.0], [3.0]], 1 + NUM_GROUPS, axis=1)
    noise = pooled_noise(np.stack([runs[:, 0] for runs in (*calm, wild)]))
    reach = paired_difference(wild, calm[0], noise, NUM_GROUPS, 0.95)
    assert reach.high - reach.low > 2 * 1.96 * np.sqrt(36 / 3)


def test_pairs_are_seen_from_both_sides():
    rng = np.random.default_rng(1)
    values = {name: trainings(rng, 20, of_seeds=1, of_images=3) for name in "abc"}
    found = all_differences(values, NUM_GROUPS, num_looks=2)
    assert len(found) == 6
    for (first, second), difference in found.items():
        other = found[second, first]
        assert difference.value == pytest.approx(-other.value)
        assert (difference.low, difference.high) == pytest.approx((-other.high, -other.low))


def test_more_pairs_and_looks_widen_intervals():
    rng = np.random.default_rng(1)
    values = {name: trainings(rng, 20, of_seeds=1, of_images=3) for name in "ab"}
    widths = [
        (found := all_differences(values, NUM_GROUPS, looks)["a", "b"]).high - found.low
        for looks in (1, 2, 5)
    ]
    assert widths == sorted(widths)


def test_too_few_images_decide_nothing():
    rng = np.random.default_rng(1)
    values = {"a": trainings(rng, 20), "b": trainings(rng, 40)}
    assert decided_worse(all_differences(values, 2, 1)) == {}
    assert decided_worse(all_differences(values, 3, 1)) == {"a": "b"}


@given(st.floats(0, 100), st.integers(2, 5))
def test_equal_trainings_are_undecided(mean, seeds):
    values = {name: np.full((seeds, 1 + NUM_GROUPS), mean) for name in "abc"}
    found = all_differences(values, NUM_GROUPS, 1)
    assert {difference.verdict for difference in found.values()} == {"undecided"}


def test_the_method_furthest_ahead_is_named():
    differences = {
        ("a", "b"): Estimate(-1, -1.5, -0.5),
        ("a", "c"): Estimate(-2, -2.5, -1.5),
        ("b", "c"): Estimate(-1, -2.5, 0.5),
        ("c", "a"): Estimate(2, 1.5, 2.5),
    }
    assert decided_worse(differences) == {"a": "c"}


@pytest.mark.parametrize("seeds", [2, 3])
def test_identical_methods_are_hardly_ever_told_apart(seeds):
    rng = np.random.default_rng(seeds)
    wrong = 0
    for _ in range(300):
        values = {name: trainings(rng, 20, seeds=seeds, of_seeds=1, of_images=5) for name in "abcd"}
        wrong += bool(decided_worse(all_differences(values, NUM_GROUPS, num_looks=1)))
    assert wrong <= 15  # 5 of 100
