"""Enough units of each class and of every range of scores are kept."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbdet.pruning.selection import NUM_STRATA, select

NO_PAIRS = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


def seeded(seed=0):
    return np.random.default_rng(seed)


UNITS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0, 7.0, 100.0]), st.sets(st.integers(0, 3))), min_size=1
)


@given(units=UNITS, floor=st.integers(0, 3), data=st.data())
def test_as_many_are_kept_as_asked_for_and_enough_of_each_class(units, floor, data):
    scores = np.array([score for score, _ in units])
    pairs = [(k, number) for k, (_, own) in enumerate(units) for number in sorted(own)]
    arrays = tuple(np.array(pairs, dtype=np.int64).reshape(-1, 2).T)
    everything = select(scores, len(units), arrays, floor=floor, generator=seeded())
    assert everything.is_kept.all()
    needed = int((everything.needed_by >= 0).sum())
    number = data.draw(st.integers(needed, len(units)))
    selection = select(scores, number, arrays, floor=floor, generator=seeded())
    assert selection.is_kept.sum() == number
    counts = Counter(c for _, c in pairs)
    kept = Counter(c for k, c in pairs if selection.is_kept[k])
    assert all(kept[c] >= min(floor, counts[c]) for c in counts)
    assert ((selection.needed_by >= 0) ^ (selection.strata >= 0)).all()
    again = select(scores, number, arrays, floor=floor, generator=seeded())
    assert all(map(np.array_equal, selection, again))


@given(scores=st.lists(st.floats(0, 1000), min_size=1, max_size=60), data=st.data())
def test_ranges_of_scores_share_as_if_filled_one_by_one(scores, data):
    scores = np.array(scores)
    number = data.draw(st.integers(0, len(scores)))
    selection = select(scores, number, NO_PAIRS, floor=0, generator=seeded())
    sizes = Counter(selection.strata.tolist())
    kept = Counter(selection.strata[selection.is_kept].tolist())
    # Where a range is not kept whole, no other has more than one unit more than it.
    for own, size in sizes.items():
        if kept[own] < size:
            assert max(kept.values(), default=0) <= kept[own] + 1
    width = (scores.max() - scores.min()) / NUM_STRATA
    for place in sizes:
        members = scores[selection.strata == place]
        assert members.max() - members.min() <= width * (1 + 1e-9)


def test_few_that_are_kept_are_not_the_hardest_alone():
    scores = np.concatenate([np.zeros(900), np.linspace(50, 100, 100)])
    selection = select(scores, 50, NO_PAIRS, floor=0, generator=seeded())
    kept = scores[selection.is_kept]
    assert 0 < (kept == 0).sum() < 10
    assert (kept >= 75).sum() < 35
    # If many are kept, all that are not typical stay.
    many = select(scores, 700, NO_PAIRS, floor=0, generator=seeded())
    assert many.is_kept[900:].all()


def test_of_a_class_the_highest_scores_are_kept_first():
    scores, classes = np.arange(20.0), np.repeat([0, 1], [17, 3])
    pairs = np.arange(20), classes
    selection = select(scores, 5, pairs, floor=2, generator=seeded())
    assert selection.needed_by[[15, 16, 18, 19]].tolist() == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="4"):
        select(scores, 3, pairs, floor=2, generator=seeded())
