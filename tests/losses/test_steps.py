"""Sums of steps against loops over pairs, and the look-up against the search."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.losses.grid import Grid
from imbdet.losses.steps import Steps
from tests.losses.ranking_definitions import pairs

SCALES = {"random": 3.0, "tiny": 1e-6, "huge": 1e4}


def random_scores(num, seed, kind):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(num, generator=generator) * SCALES.get(kind, 3.0)
    return (2 * scores).round() / 2 if kind == "quantised" else scores


PROBLEMS = given(
    num_positives=st.integers(1, 20),
    num_scores=st.integers(0, 60),
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(["random", "quantised", *SCALES]),
    delta=st.sampled_from([0.0, 0.25, 1.0]),
)


@PROBLEMS
def test_sums_equal_loops_over_pairs(num_positives, num_scores, seed, kind, delta):
    positives = random_scores(num_positives, seed, kind)
    scores = random_scores(num_scores, seed + 1, kind)
    weights = torch.rand(num_scores, dtype=torch.float64)
    pos_weights = torch.rand(num_positives, dtype=torch.float64)
    steps = Steps(positives, delta)
    h = pairs(scores.double().numpy(), positives.double().numpy(), delta)

    over_scores = steps.sum_over_scores(steps.histogram(scores, weights))
    np.testing.assert_allclose(over_scores, h @ weights.numpy(), rtol=1e-9, atol=1e-7)
    over_positives = steps.sum_over_positives(pos_weights).at(scores)
    np.testing.assert_allclose(over_positives, pos_weights.numpy() @ h, rtol=1e-9, atol=1e-7)


@PROBLEMS
def test_the_look_up_equals_the_search(num_positives, num_scores, seed, kind, delta):
    steps = Steps(random_scores(num_positives, seed, kind), delta)
    # Scores on the ends and beside them, where an inexact cell would show.
    ends = steps.ends.float()
    infinity = torch.tensor(float("inf"))
    scores = torch.cat(
        [
            random_scores(num_scores, seed + 1, kind),
            ends,
            ends.nextafter(infinity),
            ends.nextafter(-infinity),
            torch.tensor([-65504.0, 65504.0]),
        ]
    )
    grid, lines = Grid(steps), steps.sum_over_positives(torch.ones(num_positives))
    for part in (scores, scores[:0], scores[:1], scores.view(1, -1)):
        found, expected = (
            steps.sum_over_scores(finder.histogram(part)) for finder in (grid, steps)
        )
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-6)
        torch.testing.assert_close(
            grid.evaluate(lines, part), steps.evaluate(lines, part), rtol=1e-9, atol=1e-7
        )


def test_infinite_scores_count_fully_or_not_at_all():
    steps = Steps(torch.tensor([0.0, 1.0]), 0.5)
    scores = torch.tensor([float("inf"), -float("inf"), 0.0, 5.0])
    assert steps.sum_over_scores(Grid(steps).histogram(scores)).tolist() == [2.5, 2.0]


def test_a_negative_delta_is_refused():
    with pytest.raises(ValueError, match="delta must be >= 0"):
        Steps(torch.zeros(1), -0.1)
