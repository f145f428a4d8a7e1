"""Hard example mining against its definition."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.ops.boxes import paired_iou
from imbdet.samplers import HardSampler, QuotaSampler, pick_random
from tests.samplers.draws import make_candidates


def pick(losses, quota, nms_thresh=1.0, boxes=None):
    candidates = make_candidates([-1] * len(losses), losses=losses, boxes=boxes)
    return HardSampler(nms_thresh)(candidates, torch.arange(len(losses)), quota).idxs.tolist()


def test_picks_the_highest_losses_and_the_first_of_equal_ones():
    assert pick([1.0, 3.0, 2.0, 3.0, 2.0, 2.0], quota=4) == [1, 3, 2, 4]
    assert pick([0.5] * 100, quota=3) == [0, 1, 2]


def test_losses_that_are_not_finite():
    losses = [1.0, math.inf, -math.inf, math.nan, 2.0]
    assert pick(losses, quota=5) == [3, 1, 4, 0, 2]
    boxes = [[10.0 * i, 0.0, 10.0 * i + 5, 5.0] for i in range(5)]
    assert pick(losses, quota=5, nms_thresh=0.5, boxes=boxes) == [3, 1, 4, 0, 2]


def test_duplicates_of_a_hard_region_come_last():
    box, other = [0.0, 0.0, 10.0, 10.0], [50.0, 0.0, 60.0, 10.0]
    problem = {"losses": [5.0, 4.0, 3.0, 1.0], "boxes": [box, box, box, other]}
    assert pick(**problem, quota=2) == [0, 1]
    assert pick(**problem, quota=2, nms_thresh=0.7) == [0, 3]
    assert pick(**problem, quota=3, nms_thresh=0.7) == [0, 3, 1]
    assert pick(**problem, quota=9, nms_thresh=0.7) == [0, 3, 1, 2]


@given(n=st.integers(0, 30), quota=st.integers(0, 30), seed=st.integers(0, 999))
def test_suppression_is_greedy_by_loss(n, quota, seed):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(n, 2, 2, generator=generator).sort(dim=1).values * 10
    boxes, losses = corners.flatten(1), torch.randint(0, 9, (n,), generator=generator) / 8
    kept, suppressed = [], []
    for i in sorted(range(n), key=lambda i: -losses[i].item()):
        overlaps = paired_iou(boxes[i].expand(len(kept), 4), boxes[kept])
        (suppressed if (overlaps > 0.3).any() else kept).append(i)
    assert pick(losses, quota, nms_thresh=0.3, boxes=boxes) == (kept + suppressed)[:quota]


def test_asks_for_predictions():
    quotas = {"batch_size_per_image": 4, "positive_fraction": 0.5}
    assert QuotaSampler(pick_random, HardSampler(), **quotas).needs == {"losses"}
    assert not QuotaSampler(pick_random, pick_random, **quotas).needs


@pytest.mark.parametrize("thresh", [-0.1, 1.1, math.nan])
def test_refuses_a_threshold_that_is_no_iou(thresh):
    with pytest.raises(ValueError, match=f"nms_thresh is {thresh}: it must be from 0 to 1"):
        HardSampler(nms_thresh=thresh)
