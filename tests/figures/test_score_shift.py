import numpy as np
import pytest
import torch

from imbdet.figures.score_shift import EDGES, ImageScores, f1_scores
from imbdet.figures.study import NothingToShow


def gather(*images):
    """The numbers of images of one class: (logits, labels), where 0 is positive."""
    gathered = ImageScores()
    for logits, labels in images:
        scores = torch.tensor(logits, dtype=torch.float64).sigmoid()[:, None]
        gathered.add(scores, torch.tensor(labels))
    return gathered


def test_numbers_by_hand():
    # Separated between 0 and 1; between 2 and 3; at best above -4, with a mistake; no positives.
    images = [
        ([1.05, 0.05, -3.05], [0, 1, 1]),
        ([3.05, 2.05, 5.0], [0, 1, -1]),
        ([-1.05, -1.55, -1.95, -4.05], [0, 1, 0, 1]),
        ([7.0], [1]),
    ]
    numbers = gather(*images).result()
    # Thresholds are midway between the bin behind the negative and that of the positive.
    np.testing.assert_allclose(numbers.thresholds, [0.6, 2.6, -3.0], atol=1e-9)
    np.testing.assert_allclose(numbers.own, [1, 1, 4 / 5])
    # All together: from -3 to -2, 4 of 4 with 3 negatives, 8 / 11; from 1, 2 with 1, 4 / 7.
    assert numbers.common_threshold == pytest.approx(-2.5)
    np.testing.assert_allclose(numbers.common, [2 / 3, 2 / 3, 4 / 5])
    assert "at a logit of 0.07 ± 2.32 " in numbers.sentence()
    assert "0.933 there, and 0.711 at one threshold for all, -2.50." in numbers.sentence()


def test_f1_is_its_definition():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, (3, 2, 5))
    for image, scores in zip(counts, f1_scores(counts), strict=True):
        for i, score in enumerate(scores):
            false, true = image[:, i:].sum(axis=1)
            missed = image[1, :i].sum()
            assert score == pytest.approx(2 * true / (2 * true + false + missed))


def test_a_shift_of_an_image_moves_its_threshold_alone():
    generator = torch.Generator().manual_seed(0)
    logits = torch.cat([torch.randn(50, generator=generator) + 2, torch.randn(500)]).tolist()
    labels = [0] * 50 + [1] * 500
    same = gather((logits, labels), (logits, labels)).result()
    np.testing.assert_array_equal(same.common, same.own)
    assert same.thresholds.std() == 0
    shifted = gather((logits, labels), ([x + 3 for x in logits], labels)).result()
    assert np.diff(shifted.thresholds) == pytest.approx(3, abs=0.11)  # a bin
    assert (shifted.common < shifted.own - 0.05).any()


def test_scores_of_0_and_1_are_counted_at_the_ends():
    gathered = ImageScores()
    gathered.add(torch.tensor([[1.0], [0.0]]), torch.tensor([0, 1]))
    (counts,) = gathered.counts
    assert counts[1].nonzero()[0].tolist() == [len(EDGES) - 2]
    assert counts[0].nonzero()[0].tolist() == [0]
    histogram, _ = gathered.result().draw().axes
    assert sum(bar.get_height() for bar in histogram.patches) == 1


def test_no_positives_are_said():
    with pytest.raises(NothingToShow, match="no positives to separate"):
        gather(([1.0], [1])).result()
