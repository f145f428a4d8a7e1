import numpy as np
import pytest
import torch

from imbdet.figures.rank_histogram import negatives_above, rank_histogram, step
from imbdet.figures.study import NothingToShow


def test_negatives_above_by_pairs():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(20, (30, 3), generator=generator) / 20  # with ties
    labels = torch.randint(-1, 4, (30,), generator=generator)
    expected = []
    for row, label in enumerate(labels.tolist()):
        if 0 <= label < 3:
            expected.append(
                sum(
                    scores[other, k] >= scores[row, label]
                    for other in range(30)
                    for k in range(3)
                    if labels[other] >= 0 and k != labels[other]
                )
            )
    assert negatives_above(scores, labels).tolist() == expected


def test_no_positives_and_no_candidates():
    assert negatives_above(torch.rand(4, 3), torch.tensor([3, 3, -1, 3])).tolist() == []
    assert negatives_above(torch.rand(0, 3), torch.empty(0, dtype=torch.int64)).tolist() == []


@pytest.mark.parametrize("delta", [0.0, 0.25, 1.0])
def test_step_is_its_definition(delta):
    x = np.linspace(-2, 2, 41)
    expected = np.clip(x / (2 * delta) + 0.5, 0, 1) if delta else (x >= 0).astype(float)
    np.testing.assert_allclose(step(x, delta), expected, atol=1e-12)


def test_histogram_by_hand():
    chunks = [
        {"negatives_above": np.array([0, 1, 5]), "local_rank": np.array([0, 1, 0])},
        {"negatives_above": np.array([7, 8, 0]), "local_rank": np.array([1, 0, 1])},
    ]
    is_gt = [np.array([True, False, False]), np.array([False, False, True])]
    chunks = [{**chunk, "is_gt": own} for chunk, own in zip(chunks, is_gt, strict=True)]
    numbers = rank_histogram(chunks)
    assert numbers.edges.tolist() == [0, 1, 2, 4, 8, 16]
    assert numbers.every.tolist() == [2, 1, 0, 2, 1]
    assert numbers.best.tolist() == [1, 0, 0, 1, 1]
    assert "33.3 % of all positives and 33.3 % of each object's best" in numbers.sentence()
    assert numbers.sentence().endswith(" The appended ground truth is among them: 2 positives.")


def test_no_positives_are_said():
    with pytest.raises(NothingToShow, match="no positives"):
        rank_histogram(
            [dict.fromkeys(("negatives_above", "local_rank", "is_gt"), np.array([], int))]
        )
