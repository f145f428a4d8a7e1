import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.samplers import Pick, QuotaSampler, pick_all, pick_random, sample_all
from tests import flow

NUM_CLASSES = 3


def make_candidates(labels_per_image):
    labels = torch.tensor([x for image in labels_per_image for x in image], dtype=torch.int64)
    return flow.make_candidates(
        labels,
        torch.full_like(labels, -1),
        num_per_image=[len(image) for image in labels_per_image],
        num_classes=NUM_CLASSES,
    )


def quota_sampler(batch_size, fraction, positive=pick_random, negative=pick_random):
    return QuotaSampler(
        positive, negative, batch_size_per_image=batch_size, positive_fraction=fraction
    )


LABELS = st.lists(st.lists(st.integers(-1, NUM_CLASSES), max_size=30), min_size=1, max_size=3)


@given(labels=LABELS, batch_size=st.integers(0, 20), fraction=st.floats(0, 1))
def test_random_fills_the_quota_of_each_image(labels, batch_size, fraction):
    candidates = make_candidates(labels)
    choice = quota_sampler(batch_size, fraction)(candidates)
    assert len(set(choice.idxs.tolist())) == len(choice.idxs)
    chosen = candidates.take(choice)
    assert chosen.num_per_image == choice.num_per_image
    for i, image_labels in enumerate(labels):
        num_positives = sum(0 <= x < NUM_CLASSES for x in image_labels)
        num_negatives = image_labels.count(NUM_CLASSES)
        expected_pos = min(num_positives, int(batch_size * fraction + 1e-6))
        expected_neg = min(num_negatives, batch_size - expected_pos)
        got = chosen.gt_labels[chosen.image_idxs == i]
        assert (got == NUM_CLASSES).sum() == expected_neg
        assert len(got) == expected_pos + expected_neg
        assert (got >= 0).all()
        rows = choice.idxs[chosen.image_idxs == i]
        first = sum(len(image) for image in labels[:i])
        assert ((rows >= first) & (rows < first + len(image_labels))).all()


def test_fraction_of_the_quota_is_not_lost_to_rounding():
    # 100 * 0.29 is 28.999999999999996 in floating point.
    assert quota_sampler(100, 0.29).positive_quota == 29


def test_random_is_uniform():
    candidates = make_candidates([[3] * 10])
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(10)
    for _ in range(3000):
        counts[quota_sampler(4, 0.5)(candidates, generator).idxs] += 1
    # 4 of 10 in each of 3000 draws: mean 1200, standard deviation sqrt(3000 * 0.4 * 0.6) = 27.
    assert (counts - 1200).abs().max() < 5 * 27


def test_a_generator_makes_the_choice_repeatable():
    candidates = make_candidates([[0, 3] * 20, [1, 3] * 20])
    first, second, third = (
        quota_sampler(8, 0.25)(candidates, torch.Generator().manual_seed(seed)).idxs
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_positives_and_negatives_are_chosen_independently():
    candidates = make_candidates([[0] * 6 + [3] * 10 + [-1] * 2])
    all_positives = quota_sampler(8, 0.25, positive=pick_all)(candidates)
    assert sorted(all_positives.idxs.tolist())[:6] == list(range(6))
    assert all_positives.num_per_image == [8]
    all_negatives = quota_sampler(8, 0.25, negative=pick_all)(candidates)
    assert all_negatives.num_per_image == [2 + 10]


def test_more_positives_than_the_whole_quota_leave_no_negatives():
    choice = quota_sampler(4, 0.5, positive=pick_all)(make_candidates([[0] * 6 + [3] * 5]))
    assert choice.num_per_image == [6]


def test_importance_of_one_kind_is_kept():
    def pick_ranked(candidates, pool, quota, generator=None):
        return Pick(pool[:quota], 1 / (1 + torch.arange(quota)))

    choice = quota_sampler(4, 0.5, negative=pick_ranked)(make_candidates([[0, 0, 3, 3, 3]]))
    assert choice.importance.tolist() == [1, 1, 1, 0.5]
    assert quota_sampler(4, 0.5)(make_candidates([[0, 3]])).importance is None


def test_sample_all_keeps_ignored_candidates_and_copies_nothing():
    candidates = make_candidates([[0, -1, 3], [], [2]])
    chosen = candidates.take(sample_all(candidates))
    assert chosen.gt_labels.data_ptr() == candidates.gt_labels.data_ptr()
    assert chosen.image_idxs.tolist() == [0, 0, 0, 2]
    assert chosen.pos_idxs.tolist() == [0, 3]


@pytest.mark.parametrize("sampler", [sample_all, partial(quota_sampler(4, 0.5))])
def test_no_candidates_at_all(sampler):
    candidates = make_candidates([[], []])
    assert len(candidates.take(sampler(candidates))) == 0


@pytest.mark.parametrize(
    ("batch_size", "fraction", "message"),
    [
        (-1, 0.5, "batch_size_per_image is -1: it must be at least 0"),
        (8, -0.1, "positive_fraction is -0.1: it must be from 0 to 1"),
        (8, 1.1, "positive_fraction is 1.1"),
        (8, math.nan, "positive_fraction is nan"),
    ],
)
def test_refuses_what_is_no_quota(batch_size, fraction, message):
    with pytest.raises(ValueError, match=message):
        quota_sampler(batch_size, fraction)


def test_refuses_a_ratio_below_zero():
    with pytest.raises(ValueError, match="max_neg_pos_ratio is -1: it must be at least 0"):
        QuotaSampler(
            pick_random,
            pick_random,
            batch_size_per_image=8,
            positive_fraction=0.5,
            max_neg_pos_ratio=-1,
        )
