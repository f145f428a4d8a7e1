"""The numbers of assigners, counted object by object."""

import itertools

import numpy as np
import pytest

from imbdet.figures.assigners import SIZE_EDGES, assigners
from imbdet.figures.study import NothingToShow
from tests.analysis.problems import split

NAMES = ["atss", "fcos", "paa"]


def random_objects(number, seed=0):
    """Rows of the table ASSIGNED, one for each object and assigner."""
    rng = np.random.default_rng(seed)
    area = 10 ** rng.uniform(1, 5.5, number)
    positives = rng.integers(0, 6, (len(NAMES), number))
    ambiguous = rng.integers(0, positives + 1)
    return {
        "assigner": np.repeat(NAMES, number),
        "area": np.tile(area, len(NAMES)),
        "num_positives": positives.flatten(),
        "num_ambiguous": ambiguous.flatten(),
        "sum_ious": (positives * rng.random(positives.shape)).flatten(),
    }


def test_numbers_are_those_of_the_objects():
    rows = random_objects(40)
    found = assigners(split(rows, 50, 95))
    assert list(found.names) == NAMES
    sizes = np.sqrt(rows["area"])
    for a, name in enumerate(NAMES):
        own = rows["assigner"] == name
        for s, (low, high) in enumerate(itertools.pairwise(SIZE_EDGES)):
            of_size = own & (sizes >= low) & (sizes < high)
            assert found.objects[s] == of_size.sum()
            if of_size.any():
                mean = rows["num_positives"][of_size].mean()
                assert found.per_object[a, s] == pytest.approx(mean)
        positives = rows["num_positives"][own]
        without, ambiguous, iou = found.shares[a]
        assert without == pytest.approx((positives == 0).mean())
        assert ambiguous == pytest.approx(rows["num_ambiguous"][own].sum() / positives.sum())
        assert iou == pytest.approx(rows["sum_ious"][own].sum() / positives.sum())


def test_the_sentence_names_the_extremes():
    rows = {
        "assigner": np.array(["many", "many", "few", "few"]),
        "area": np.full(4, 100.0),
        "num_positives": np.array([5, 4, 1, 0]),
        "num_ambiguous": np.zeros(4, dtype=int),
        "sum_ious": np.array([2.0, 2.0, 0.5, 0.0]),
    }
    assert assigners([rows]).sentence() == (
        "Of the same objects many makes the most priors positive (4.5 of an object) and few the "
        "fewest (0.5); few leaves 50 % of the objects without any."
    )


def test_an_assigner_without_positives_has_no_shares():
    rows = {
        "assigner": np.array(["none"]),
        "area": np.array([100.0]),
        **{name: np.array([0]) for name in ("num_positives", "num_ambiguous", "sum_ious")},
    }
    found = assigners([rows])
    assert found.shares[0, 0] == 1
    assert np.isnan(found.shares[0, 1:]).all()
    found.draw()


def test_no_object_is_said():
    rows = {name: np.array([]) for name in random_objects(1)}
    with pytest.raises(NothingToShow):
        assigners([rows])
