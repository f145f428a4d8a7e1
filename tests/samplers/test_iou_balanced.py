"""IoU-balanced negatives against their definition and, but for the bins, published numbers."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from imbdet.samplers import IoUBalancedNegatives
from tests.samplers.draws import (
    assert_frequencies,
    count_picks,
    golden_cases,
    make_candidates,
    share_probabilities,
)


def iou_probabilities(ious, quota, floor_thresh=-1.0, floor_fraction=0.0, num_bins=3, top=None):
    """(n,) probability of each negative to be picked, straight from the definition."""
    if len(ious) <= quota:
        return np.ones(len(ious))
    is_floor = np.zeros(len(ious), dtype=bool)
    if floor_thresh >= 0:
        is_floor = ious < floor_thresh if floor_thresh > 0 else ious == 0
    balanced = math.floor(quota * (1 - floor_fraction) + 1e-6)

    probabilities = np.zeros(len(ious))
    edges = np.linspace(max(floor_thresh, 0), ious.max() if top is None else top, num_bins + 1)
    bins = np.clip(np.digitize(ious[~is_floor], edges) - 1, 0, num_bins - 1)
    probabilities[~is_floor] = share_probabilities(bins, balanced // num_bins, balanced)

    short = quota - probabilities.sum()
    if is_floor.any():
        probabilities[is_floor] = min(short / is_floor.sum(), 1)
        short = quota - probabilities.sum()
    return probabilities + short * (1 - probabilities) / (1 - probabilities).sum()


def assert_as_defined(options, ious, quota, draws):
    ious = np.asarray(ious, dtype=np.float32)
    sampler, pool = IoUBalancedNegatives(**options), torch.arange(len(ious))
    counts = count_picks(sampler, make_candidates([-1] * len(ious), ious), pool, quota, draws)
    assert_frequencies(counts, draws, iou_probabilities(ious, quota, **options))


@golden_cases("iou_balanced_neg")
def test_published_cases(case):
    options = {
        # A sampler that is used again has changed its floor of -1.
        "floor_thresh": case["floor_thr_after" if case["sampler_reused"] else "floor_thr"].item(),
        "floor_fraction": case["floor_fraction"].item(),
        "num_bins": case["num_bins"].item(),
    }
    is_negative, quota = case["gt_inds"] == 0, case["num_expected"].item()
    ious = case["max_overlaps"][is_negative]
    # The published bins end at the best box of all, ours at the best negative.
    published = iou_probabilities(ious, quota, **options, top=case["max_overlaps"].max())
    assert_frequencies(case["pick_counts"][is_negative], case["reps"], published)
    assert_as_defined(options, ious, quota, draws=1000)


IOUS = [0, 0, 0, 0, 0.05, 0.05, 0.1, 0.1, 0.12, 0.15, 0.21, 0.25, 0.3, 0.45]


@pytest.mark.parametrize("quota", [5, 11])
@pytest.mark.parametrize("num_bins", [1, 3])
@pytest.mark.parametrize(
    ("floor_thresh", "floor_fraction"),
    [(-1, 0.0), (-1, 0.5), (0, 0.0), (0, 0.4), (0, 1.0), (0.1, 0.5), (0.3, 0.2), (0.9, 0.0)],
)
def test_small_pools(quota, num_bins, floor_thresh, floor_fraction):
    options = {"floor_thresh": floor_thresh, "floor_fraction": floor_fraction, "num_bins": num_bins}
    assert_as_defined(options, IOUS, quota, draws=1500)


def test_bins_span_the_negatives_of_the_pool():
    # Two bins up to 0.4, not up to the 0.9 of the positive or the 0.8 of a negative elsewhere.
    candidates = make_candidates([0] + [-1] * 22, [0.9] + [0.1] * 20 + [0.4, 0.8])
    picked = IoUBalancedNegatives(num_bins=2)(candidates, torch.arange(1, 22), 2).idxs
    assert 21 in picked.tolist()


def test_last_bin_is_closed_and_the_others_are_open_above():
    # Bins [0, 0.25) and [0.25, 0.5]: the second one has the IoUs 0.25 and 0.5, which both come.
    candidates = make_candidates([-1] * 12, [0.0] * 10 + [0.25, 0.5])
    picked = IoUBalancedNegatives(num_bins=2)(candidates, torch.arange(12), 4).idxs
    assert {10, 11} <= set(picked.tolist())


def test_part_of_the_quota_is_not_lost_to_rounding():
    # 100 * (1 - 0.9) is 9.999999999999998 in floating point.
    candidates = make_candidates([-1] * 400, [0.0] * 200 + [0.3] * 200)
    picked = IoUBalancedNegatives(0.0, 0.9)(candidates, torch.arange(400), 100).idxs
    assert (picked >= 200).sum() == 10


def test_calls_do_not_depend_on_each_other():
    candidates = make_candidates([-1] * 60, [0.0] * 50 + [0.3] * 10)
    draw = partial(IoUBalancedNegatives(), candidates, torch.arange(60), 8)
    first, second = (draw(torch.Generator().manual_seed(0)).idxs for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"floor_thresh": -0.5}, "-0.5"),
        ({"floor_thresh": 1.5}, "1.5"),
        ({"floor_fraction": -0.1}, "-0.1"),
        ({"floor_fraction": float("nan")}, "nan"),
        ({"num_bins": 0}, "0"),
    ],
)
def test_refuses_options_without_a_meaning(options, value):
    with pytest.raises(ValueError, match=f" is {value}: it must be "):
        IoUBalancedNegatives(**options)
