"""A sampler of all positives and a multiple of negatives."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.samplers import HardSampler, RatioSampler, pick_all, pick_random
from tests.samplers.draws import NUM_CLASSES, make_candidates
from tests.samplers.test_samplers import LABELS
from tests.samplers.test_samplers import make_candidates as make_batch


@given(labels=LABELS, ratio=st.sampled_from([0, 0.5, 1, 3]), minimum=st.integers(0, 9))
def test_counts_of_each_image(labels, ratio, minimum):
    candidates = make_batch(labels)
    # pick_random keeps to its quota: the positives' must be all that there are.
    sampler = RatioSampler(pick_random, pick_random, neg_pos_ratio=ratio, min_negatives=minimum)
    choice = sampler(candidates)
    assert len(set(choice.idxs.tolist())) == len(choice.idxs)
    chosen = candidates.take(choice)
    for i, image in enumerate(labels):
        num_positives = sum(0 <= x < NUM_CLASSES for x in image)
        num_negatives = max(math.floor(ratio * num_positives), minimum)
        got = chosen.gt_labels[chosen.image_idxs == i]
        assert ((got >= 0) & (got < NUM_CLASSES)).sum() == num_positives
        assert (got == NUM_CLASSES).sum() == min(num_negatives, image.count(NUM_CLASSES))
        assert len(got) == choice.num_per_image[i]
        assert (got >= 0).all()


def test_negatives_are_the_hardest():
    candidates = make_candidates([-1, 0, -1, -1, -2, -1], losses=[1.0, 9.0, 4.0, 3.0, 8.0, 2.0])
    sampler = RatioSampler(pick_all, HardSampler(), min_negatives=1)
    assert sampler.needs == {"losses"}
    assert sampler(candidates).idxs.tolist() == [1, 2, 3, 5]


def test_multiple_of_positives_is_not_lost_to_rounding():
    # 0.29 * 100 is 28.999999999999996 in floating point.
    sampler = RatioSampler(pick_all, pick_random, neg_pos_ratio=0.29, min_negatives=0)
    assert sampler(make_batch([[0] * 100 + [NUM_CLASSES] * 50])).num_per_image == [129]


def test_a_generator_makes_the_choice_repeatable():
    candidates = make_batch([[0] * 5 + [NUM_CLASSES] * 60])
    sampler = RatioSampler(pick_all, pick_random, min_negatives=0)
    first, second, third = (
        sampler(candidates, torch.Generator().manual_seed(seed)).idxs for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


@pytest.mark.parametrize(
    ("ratio", "minimum", "message"),
    [
        (-1, 0, "neg_pos_ratio is -1: it must be at least 0 and finite"),
        (math.inf, 0, "neg_pos_ratio is inf"),
        (math.nan, 0, "neg_pos_ratio is nan"),
        (3, -1, "min_negatives is -1: it must be at least 0"),
    ],
)
def test_refuses_numbers_without_a_meaning(ratio, minimum, message):
    with pytest.raises(ValueError, match=message):
        RatioSampler(pick_all, pick_random, neg_pos_ratio=ratio, min_negatives=minimum)
