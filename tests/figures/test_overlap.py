import numpy as np
import pytest

from imbdet.figures.overlap import overlaps
from imbdet.figures.study import NothingToShow
from tests.analysis.problems import random_table, split

SAMPLERS = {
    "positives": ["random", "ohem", "iou_hlr", "instance_balanced"],
    "negatives": ["random", "ohem", "score_hlr"],
}


def test_indices_are_those_of_sets():
    chunk = random_table(300)
    numbers = overlaps(split(chunk, 100, 250), SAMPLERS)
    for sign, label in (("positives", 1), ("negatives", 0)):
        sets = [
            set(np.flatnonzero(chunk[f"chosen_by_{name}"] & (chunk["label"] == label)))
            for name in SAMPLERS[sign]
        ]
        expected = [[len(a & b) / len(a | b) for b in sets] for a in sets]
        np.testing.assert_allclose(numbers.of_sign[sign].jaccard, expected)


def test_a_sampler_that_chose_nothing():
    chunk = random_table(50)
    chunk["chosen_by_score_hlr"][:] = False
    chunk["chosen_by_random"][chunk["label"] == 0] = False
    overlap = overlaps([chunk], SAMPLERS).of_sign["negatives"]
    assert overlap.jaccard[0, 1] == 0
    assert np.isnan(overlap.jaccard[0, 2])
    assert np.isnan(overlap.jaccard[2, 2])


def test_the_least_alike_are_named_without_those_that_take_all():
    chunk = {
        "label": np.ones(4, dtype=np.int8),
        "chosen_by_all": np.ones(4, dtype=bool),
        "chosen_by_a": np.array([1, 1, 0, 0], dtype=bool),
        "chosen_by_b": np.array([0, 1, 1, 0], dtype=bool),
    }
    numbers = overlaps([chunk], {"positives": ["all", "a", "b"], "negatives": ["all"]})
    assert numbers.sentence() == (
        "Of the same candidates: of the positives, a and b are least alike (Jaccard index 0.33)."
    )
    assert len(numbers.table()) == 9 + 1


def test_nothing_chosen_is_said():
    with pytest.raises(NothingToShow):
        overlaps([], SAMPLERS)


def test_assigners_take_the_place_of_samplers_of_positives():
    rng = np.random.default_rng(0)
    chunk = random_table(200) | {f"gt_id_by_{n}": rng.integers(-1, 3, 200) for n in "ab"}
    overlap = overlaps(split(chunk, 90), SAMPLERS, ["a", "b"]).of_sign["positives"]
    pairs = [{(row, gt) for row, gt in enumerate(chunk[f"gt_id_by_{n}"]) if gt >= 0} for n in "ab"]
    assert overlap.kind == "assigners"
    expected = [[len(a & b) / len(a | b) for b in pairs] for a in pairs]
    np.testing.assert_allclose(overlap.jaccard, expected)
