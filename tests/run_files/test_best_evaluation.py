"""The best evaluation, against a search through all of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbdet.run_files.best_evaluation import BestEvaluation

# Few values, so that there are ties.
VALUES = st.lists(st.sampled_from([math.nan, 0.0, 1.0, 1.5, 2.0, math.inf]), max_size=12)


def look_at_all(values, sign, min_delta):
    """The first of the best values, and the evaluations since the last gain."""
    known = [(i, value) for i, value in enumerate(values, 1) if not math.isnan(value)]
    best = max(known, key=lambda pair: (sign * pair[1], -pair[0]), default=(0, math.nan))
    reference, num_without = None, 0
    for value in values:
        is_known = not math.isnan(value)
        if is_known and (reference is None or sign * (value - reference) > min_delta):
            reference, num_without = value, 0
        else:
            num_without += 1
    return best, num_without


@given(values=VALUES, min_delta=st.sampled_from([0.0, 0.5, 1.0]))
@pytest.mark.parametrize(
    ("metric", "sign"),
    [
        ("bbox/AP", 1),
        ("validation/total_loss", -1),
        ("a/validation/x", -1),
        # Of data sets and classes that are called as the losses are.
        ("validation/bbox/AP", 1),
        ("validation/validation/x", -1),
        ("a/bbox/AP-validation", 1),
        ("bbox/AP-a/validation/b", 1),
    ],
)
def test_is_what_a_look_at_all_finds(metric, sign, values, min_delta):
    best = BestEvaluation(metric, min_delta)
    for iteration, value in enumerate(values, 1):
        is_best = best.see(value, iteration)
        assert is_best == (best.iteration == iteration)
        assert not best.see(9.0, iteration)  # once more after a resume
    (iteration, value), num_without = look_at_all(values, sign, min_delta)
    assert best.iteration == iteration
    assert best.value == value or math.isnan(value)
    assert best.num_without_gain == num_without
    assert best.has_stalled(3) == (num_without >= 3)
    assert not best.has_stalled(0)
