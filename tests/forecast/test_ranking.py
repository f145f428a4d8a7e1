"""The order of rules, and undecided differences."""

import numpy as np
import pytest
import torch

from imbdet.alignment.alignments import alignments
from imbdet.forecast.gradients import ALL
from imbdet.forecast.ranking import estimate, rank_rules
from imbdet.forecast.results import format_table, sentences

CLASSES = {0: "cat", 2: "dog"}


def noisy(mean, seed, size=0.3, num_groups=10):
    generator = torch.Generator().manual_seed(seed)
    return mean + size * torch.randn(num_groups, *mean.shape, generator=generator)


@pytest.fixture
def rows():
    target = torch.randn(3, 20, generator=torch.Generator().manual_seed(0))
    other = torch.randn(3, 20, generator=torch.Generator().manual_seed(1))
    first = noisy(target + other, 2)
    updates = {
        "first": first,
        "same": 7 * first,
        "ahead": noisy(target, 3),
        "behind": noisy(other - target, 4),
        "empty": torch.zeros(10, 3, 20),
    }
    targets = {
        loss: {
            ALL: noisy(target, seed),
            "small": noisy(target, seed),
            "large": torch.zeros(10, 3, 20),
        }
        for seed, loss in ((5, "likelihood"), (6, "ranking"))
    }
    return rank_rules(updates, targets, CLASSES)


def test_the_highest_alignment_is_first(rows):
    assert [row.rule for row in rows] == ["ahead", "first", "same", "behind", "empty"]
    assert [row.verdict for row in rows] == ["better", "", "undecided", "worse", ""]
    ahead, first, same, behind, empty = rows
    assert ahead.alignment.low > first.alignment.high > 0 > behind.alignment.high
    assert same.difference.value == pytest.approx(0, abs=1e-8)
    assert same.difference.high == pytest.approx(0, abs=2e-6)
    assert list(ahead.by_class) == ["cat", "dog"]
    assert ahead.by_size["small"] == pytest.approx(ahead.alignment.value, abs=0.1)
    assert np.isnan([ahead.by_size["large"], empty.alignment.value]).all()
    mean = np.mean([one.value for one in first.by_loss.values()])
    assert first.alignment.value == pytest.approx(mean)


def test_it_is_said(rows):
    said = sentences(rows, "first")
    assert said[:4] == [
        "Ahead of first: ahead.",
        "Behind first: behind.",
        "Undecided from first: same.",
        "Without any gradient on these images: empty.",
    ]
    assert "experiment" in said[-1]
    assert "undecided" in format_table(rows)


def test_intervals_hold_what_they_say():
    """For 300 pairs of noisy gradients at least nine tenths of the intervals contain the mean.

    The value of a sample is lower than that of the gradients without noise: the estimated value
    is that of samples of this size.
    """
    mean, other = torch.randn(2, 1, 30, generator=torch.Generator().manual_seed(0))
    found = [
        estimate(alignments(noisy(mean, 2 * i), noisy(mean + other, 2 * i + 1))[:, 0].numpy(), 10)
        for i in range(300)
    ]
    expected = np.mean([one.value for one in found])
    held = np.mean([one.low <= expected <= one.high for one in found])
    assert 0.9 <= held <= 0.99
