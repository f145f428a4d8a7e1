"""Shares of the background, positives by size and the tail, against their definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.advice.background_shares import BackgroundShares, BackgroundSums
from imbdet.advice.checkpoint_look import CheckpointLook
from imbdet.advice.class_tail import ClassTail
from imbdet.advice.ledger_doubts import LedgerDoubts
from imbdet.advice.tail_lag import tail_lag
from tests.flow import make_candidates


@given(st.lists(st.tuples(st.sampled_from([-1, 0, 1, 2]), st.integers(0, 9)), max_size=6))
def test_shares_are_sums_over_samples(samples):
    labels = torch.tensor([label for label, _ in samples], dtype=torch.int64)
    candidates = make_candidates(labels, torch.full_like(labels, -1), num_classes=2)
    values = torch.tensor([float(value) for _, value in samples])
    sums = BackgroundSums()
    for name in ("candidates", "chosen", "gradient"):
        sums.add(name, torch.ones(len(labels)), candidates)
    sums.add("loss", values, candidates)
    total = sum(value for label, value in samples if label >= 0)
    if total == 0:
        assert sums.shares() is None
        return
    shares = sums.shares()
    assert shares.loss == pytest.approx(
        sum(value for label, value in samples if label == 2) / total
    )
    known = [label for label, _ in samples if label >= 0]
    assert shares.chosen == pytest.approx(known.count(2) / len(known))


def test_a_ranking_has_no_share_of_the_loss():
    sums = BackgroundSums()
    assert sums.shares() is None
    candidates = make_candidates(torch.tensor([0, 2]), torch.tensor([0, -1]), num_classes=2)
    for name in ("candidates", "chosen", "gradient"):
        sums.add(name, torch.ones(2), candidates)
    assert sums.shares() == BackgroundShares(0.5, 0.5, None, 0.5)


def test_positives_are_told_by_size():
    sides, numbers = np.array([31.9, 5, 32, 95.9, 96]), np.array([0, 2, 3, 4, 9])
    look = CheckpointLook("x.pth", "Head", 1, 1, None, sides, numbers)
    by_size = {name: of.tolist() for name, of in look.positives_by_size().items()}
    assert by_size == {"small": [0, 2], "medium": [3, 4], "large": [9]}
    assert look.share_of_small_unmatched == 0.5
    look = CheckpointLook("x.pth", "Head", 1, 1, None, sides[4:], numbers[4:])
    assert list(look.positives_by_size()) == ["large"]
    assert look.share_of_small_unmatched == 0


def tail_of(judged, not_learnt, objects=(1000, 900, 100), images=(90, 80, 70), bound=10):
    tail = ClassTail(["a", "b", "c"], np.array(objects), np.array(images))
    return tail_lag(tail, bound, LedgerDoubts("", judged, not_learnt, [], 0, []))


def test_rare_classes_are_held_against_the_others():
    lag = tail_of({0: 60, 1: 40, 2: 10}, {1: 10, 2: 9})
    assert lag.classes == ["c"]
    assert (lag.rare, lag.others) == ((10, 9), (100, 10))
    assert lag.is_behind
    # Agresti and Caffo: p = 10 / 12, q = 11 / 102.
    p, q = 10 / 12, 11 / 102
    reach = 1.96 * np.sqrt(p * (1 - p) / 12 + q * (1 - q) / 102)
    assert lag.interval == pytest.approx((p - q - reach, p - q + reach))


def test_few_objects_decide_nothing():
    assert not tail_of({0: 60, 1: 40, 2: 2}, {0: 15, 2: 1}).is_behind
    assert not tail_of({0: 60, 2: 60}, {0: 30}).is_behind


def test_classes_in_few_images_are_rare():
    assert tail_of({0: 9, 1: 9}, {}, objects=(100, 90, 80), images=(90, 9, 80)).classes == ["b"]


def test_without_objects_of_both_kinds_nothing_is_compared():
    assert tail_of({0: 9, 1: 9}, {}) is None
    assert tail_of({2: 9}, {}) is None
    assert tail_of({0: 9, 1: 9, 2: 9}, {}, objects=(9, 9, 9)) is None
