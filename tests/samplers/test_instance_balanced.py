"""Instance-balanced positives against their definition and, where it agrees, published numbers."""

import numpy as np
import pytest
import torch

from imbdet.samplers import pick_instance_balanced
from tests.samplers.draws import (
    assert_frequencies,
    count_picks,
    golden_cases,
    make_candidates,
    share_probabilities,
)


def instance_probabilities(gt_idxs, quota):
    return share_probabilities(gt_idxs, quota // len(np.unique(gt_idxs)), quota)


def count_positives(gt_idxs, quota, draws):
    candidates = make_candidates(gt_idxs)
    counts = count_picks(pick_instance_balanced, candidates, candidates.pos_idxs, quota, draws)
    return counts[candidates.pos_idxs]


@golden_cases("instance_balanced_pos")
def test_published_cases(case):
    gt_idxs, quota = case["gt_inds"] - 1, case["num_expected"].item()
    is_positive = gt_idxs >= 0
    probabilities = instance_probabilities(gt_idxs[is_positive], quota)
    assert_frequencies(count_positives(gt_idxs, quota, draws=2000), 2000, probabilities)
    if len(set(case["gt_sizes"]) - {0}) == 1 or is_positive.sum() <= quota:
        # The published code trims and fills in another way, with the same result only here.
        assert_frequencies(case["pick_counts"][is_positive], case["reps"], probabilities)


@pytest.mark.parametrize("quota", [1, 3, 4, 6, 9, 12])
def test_remainder_is_drawn_from_all_that_are_left(quota):
    gt_idxs = np.array([5] * 8 + [2] * 2 + [0] * 2 + [7])
    counts = count_positives(gt_idxs, quota, draws=2500)
    assert_frequencies(counts, 2500, instance_probabilities(gt_idxs, quota))


def test_every_instance_gives_its_share():
    candidates = make_candidates([4] * 50 + [9] * 3 + [1] * 20 + [-1] * 30)
    for _ in range(20):
        picked = pick_instance_balanced(candidates, candidates.pos_idxs, 15).idxs
        sizes = torch.bincount(candidates.gt_idxs[picked], minlength=10)
        assert sizes[9] == 3  # all that it has
        assert sizes[4] >= 5
        assert sizes[1] >= 5
        assert sizes.sum() == 15


def test_only_instances_of_the_pool_count():
    # Two of the batch's four instances are in the pool, so that each gives half of the quota.
    candidates = make_candidates([0] * 10 + [1] * 20 + [2] * 4 + [3] * 10)
    for _ in range(20):
        picked = pick_instance_balanced(candidates, torch.arange(10, 34), 8).idxs
        assert (candidates.gt_idxs[picked] == 2).sum() == 4
