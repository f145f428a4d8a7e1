import itertools

import numpy as np
import pytest

from imbdet.figures.hardness import EDGES, hardness
from imbdet.figures.study import NothingToShow
from tests.analysis.problems import random_table, split


def test_shares_and_counts_are_those_of_the_rows():
    chunk = random_table(400)
    numbers = hardness(split(chunk, 17, 17, 300))
    for selection, column in (("random", "random"), ("hard", "ohem")):
        ious = chunk["iou"][chunk[f"chosen_by_{column}"] & (chunk["label"] == 0)]
        assert numbers.shares_above[selection] == (ious > 0.05).sum() / len(ious)
        expected = [
            sum(low <= iou < high for iou in ious) for low, high in itertools.pairwise(EDGES)
        ]
        np.testing.assert_array_equal(numbers.counts[selection], expected)
    share = f"{100 * numbers.shares_above['hard']:.1f}".removesuffix(".0")
    assert f"{share} % of the hard negatives" in numbers.sentence()
    assert numbers.table()["hard"].to_pylist() == numbers.counts["hard"].tolist()


def test_the_threshold_itself_is_not_above():
    chunk = {
        "label": np.zeros(4, dtype=np.int8),
        "iou": np.array([0.0, 0.05, 0.0500001, 1.0], dtype=np.float32),
        "chosen_by_random": np.ones(4, dtype=bool),
        "chosen_by_ohem": np.array([False, False, True, True]),
    }
    numbers = hardness([chunk])
    assert numbers.shares_above == {"random": 0.5, "hard": 1.0}
    assert numbers.counts["random"][-1] == 1  # an IoU of 1 is in the last bin


def test_no_negatives_are_said():
    chunk = random_table(50)
    chunk["label"] = np.ones_like(chunk["label"])
    with pytest.raises(NothingToShow, match="no negatives"):
        hardness([chunk])
