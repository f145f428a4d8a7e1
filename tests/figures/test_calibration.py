import numpy as np
import pytest
import torch

from imbdet.figures.calibration import EntryScores
from imbdet.figures.study import NothingToShow


def test_numbers_by_hand():
    scores = torch.tensor([[0.92, 0.03], [0.97, 0.11], [0.12, 0.94], [1.0, 0.5]])
    labels = torch.tensor([0, 2, 0, -1])  # class 0, background, class 0, ignored
    gathered = EntryScores(score_thresh=0.1)
    gathered.add(scores[:2], labels[:2])
    gathered.add(scores[2:], labels[2:])
    numbers = gathered.result()
    # Entries: 0.03 | 0.11, 0.12 (right) | 0.92 (right), 0.94 | 0.97.
    assert {i: int(n) for i, n in enumerate(numbers.counts) if n} == {0: 1, 2: 2, 18: 2, 19: 1}
    assert {i: int(n) for i, n in enumerate(numbers.positives) if n} == {2: 1, 18: 1}
    assert numbers.shares[18] == 0.5
    assert numbers.mean_scores[18] == pytest.approx(0.93)
    assert np.isnan(numbers.shares[1])
    # |1 - 0.23|, |1 - 1.86| and |0 - 0.97| over five entries.
    assert numbers.expected_error == pytest.approx((0.77 + 0.86 + 0.97) / 5)
    assert (numbers.num_kept, numbers.num_kept_positives) == (5, 2)
    assert "40 % of the 5 entries" in numbers.sentence()


def test_scores_that_mean_what_they_say():
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(50000, 1, generator=generator)
    is_right = torch.rand(50000, generator=generator) < scores[:, 0]
    gathered = EntryScores(score_thresh=0.05)
    gathered.add(scores, (~is_right).long())
    assert gathered.result().expected_error < 0.02


def test_the_threshold_of_another_score_is_left_out():
    gathered = EntryScores(score_thresh=None)
    gathered.add(torch.tensor([[0.3], [0.7]]), torch.tensor([0, 1]))
    numbers = gathered.result()
    assert "The test multiplies them by the quality" in numbers.sentence()
    assert "threshold" not in numbers.sentence()
    labels = [text.get_text() for text in numbers.draw().legends[0].texts]
    assert "threshold of the test" not in labels


def test_a_detector_without_high_scores_has_no_error():
    gathered = EntryScores(score_thresh=0.05)
    gathered.add(torch.tensor([[0.01]]), torch.tensor([0]))
    assert np.isnan(gathered.result().expected_error)
    assert gathered.result().sentence() == "No entry has a score of 0.05 or more."


def test_no_scores_are_said():
    with pytest.raises(NothingToShow):
        EntryScores(score_thresh=0.05).result()
