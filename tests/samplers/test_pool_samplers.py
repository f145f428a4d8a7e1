"""Properties of every sampler that picks up to its quota."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.samplers import (
    HardSampler,
    IoUBalancedNegatives,
    IoUHLRPositives,
    ScoreHLRNegatives,
    pick_instance_balanced,
    pick_random,
)
from imbdet.structures import needs_of
from tests.samplers.draws import make_candidates

RANDOM = {
    "random": pick_random,
    "instance_balanced": pick_instance_balanced,
    "iou_balanced": IoUBalancedNegatives(),
    "iou_balanced_floor": IoUBalancedNegatives(0.1, 0.4, num_bins=4),
    "iou_balanced_zero_floor": IoUBalancedNegatives(0.0, 1.0, num_bins=1),
}
HARD = {"hard": HardSampler(), "hard_nms": HardSampler(nms_thresh=0.5)}


def samplers(named):
    return pytest.mark.parametrize("sampler", named.values(), ids=named.keys())


def random_candidates(n, seed=0, dtype=torch.float32):
    """IoUs and losses in steps of 0.1, so that there are ties."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(n, 2, 2, generator=generator).sort(dim=1).values * 10
    return make_candidates(
        gt_idxs=torch.randint(-1, 6, (n,), generator=generator),
        ious=(torch.randint(0, 11, (n,), generator=generator) / 10).to(dtype),
        losses=(torch.randint(0, 30, (n,), generator=generator) / 10).to(dtype),
        boxes=corners.flatten(1).to(dtype),
    )


def assert_full_pick(idxs, pool, quota):
    assert idxs.dtype == torch.int64
    picked = idxs.tolist()
    assert len(picked) == len(set(picked)) == min(quota, len(pool))
    assert set(picked) <= set(pool.tolist())


@samplers(RANDOM | HARD)
@given(
    n=st.integers(0, 60), part=st.floats(0, 1), quota=st.integers(0, 50), seed=st.integers(0, 99)
)
def test_picks_distinct_members_as_many_as_asked_for(sampler, n, part, quota, seed):
    generator = torch.Generator().manual_seed(seed)
    pool = torch.randperm(n, generator=generator)[: int(part * n)]
    picked = sampler(random_candidates(n, seed), pool, quota, generator)
    assert_full_pick(picked.idxs, pool, quota)


@samplers(RANDOM | HARD)
@pytest.mark.parametrize("quota", [0, 256, 6000])
def test_thousands_of_equal_candidates(sampler, quota):
    n = 5000
    candidates = make_candidates([0] * n, [0.3] * n, [1.0] * n, [[0.0, 0.0, 8.0, 8.0]] * n)
    pool = torch.arange(n)
    assert_full_pick(sampler(candidates, pool, quota).idxs, pool, quota)


@samplers(RANDOM | HARD)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_precision(sampler, dtype):
    pool = torch.arange(10, 90)
    assert_full_pick(sampler(random_candidates(100, dtype=dtype), pool, 32).idxs, pool, 32)


@samplers(RANDOM)
def test_the_generator_decides(sampler):
    candidates, pool = random_candidates(200), torch.arange(200)
    state = torch.get_rng_state()
    first, second, third = (
        sampler(candidates, pool, 50, torch.Generator().manual_seed(seed)).idxs
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert set(first.tolist()) != set(third.tolist())
    assert torch.equal(torch.get_rng_state(), state)


@samplers(HARD)
def test_hard_samplers_use_no_randomness(sampler):
    candidates, pool = random_candidates(200), torch.arange(200)
    state = torch.get_rng_state()
    first, second = (sampler(candidates, pool, 50).idxs for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("sampler", [HardSampler(), IoUHLRPositives(), ScoreHLRNegatives()])
def test_says_so_if_predictions_are_missing(sampler):
    assert needs_of(sampler)
    with pytest.raises(ValueError, match="that the candidates lack: its `needs` must have"):
        sampler(make_candidates([0, -1]), torch.arange(2), 1)
