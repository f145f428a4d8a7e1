"""Sums of steps against loops over pairs, and the look-up against the search."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.kernels.grid import Grid, make_grid
from imbdet.kernels.step_sums import Search, step_sums
from imbdet.kernels.steps import Part, Steps
from tests.kernels.test_entrywise import random_weights
from tests.losses.ranking_definitions import pairs

SCALES = {"random": 3.0, "tiny": 1e-6, "huge": 1e4}
INFINITY = torch.tensor(float("inf"))


def random_scores(num, seed, kind):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(num, generator=generator) * SCALES.get(kind, 3.0)
    if kind == "far":  # numbers beside each other, and equal ones, of all sizes
        sizes = 2.0 ** torch.randint(15, 121, (num,), generator=generator).div(8).ceil().mul(8)
        sizes = torch.where(scores.abs() < 1, sizes, sizes.nextafter(INFINITY))
        scores = torch.where(scores.abs() < 3, sizes * scores.sign(), scores)
    return (2 * scores).round() / 2 if kind == "quantised" else scores


def random_segments(num, num_segments, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, num_segments, (num,), generator=generator)


PROBLEMS = given(
    num_positives=st.integers(1, 20),
    num_scores=st.integers(0, 60),
    num_segments=st.integers(1, 4),
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(["random", "quantised", "far", *SCALES]),
    # The last one is less than the distance between two scores.
    delta=st.sampled_from([0.0, 0.25, 1.0, 1e-17]),
)


@PROBLEMS
def test_sums_equal_loops_over_pairs(num_positives, num_scores, num_segments, seed, kind, delta):
    positives = random_scores(num_positives, seed, kind)
    scores = random_scores(num_scores, seed + 1, kind)
    weights = random_weights(num_scores, seed + 1)
    pos_weights = random_weights(num_positives, seed)
    pos_segments = random_segments(num_positives, num_segments, seed)
    segments = random_segments(num_scores, num_segments, seed + 1)
    steps = Steps(positives, delta, pos_segments, num_segments)
    h = pairs(scores.double().numpy(), positives.double().numpy(), delta)
    h = h * (pos_segments[:, None] == segments).numpy()

    histogram = steps.bucket_sums(Part(scores, segments, weights))
    over_scores = steps.sum_over_scores(histogram)
    np.testing.assert_allclose(over_scores, h @ weights.numpy(), rtol=1e-9, atol=1e-7)
    over_positives = steps.sum_over_positives(pos_weights).at(scores, segments)
    np.testing.assert_allclose(over_positives, pos_weights.numpy() @ h, rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("kind", ["random", "constant"])
def test_a_row_of_scores_has_one_segment_and_one_weight(kind):
    scores = torch.zeros(6, 5) if kind == "constant" else random_scores(30, 0, kind).view(6, 5)
    segments, weights = torch.arange(6)[:, None] % 2, torch.arange(6.0).double()[:, None]
    steps = Steps(torch.tensor([0.5, 0.0, 0.1]), 0.5, torch.tensor([0, 1, 1]), 2)
    spread = Part(scores, segments.expand(6, 5), weights.expand(6, 5).contiguous())
    for sums in (Search(steps), make_grid(steps, scores)):
        rows, entries = (sums.histogram([x]) for x in (Part(scores, segments, weights), spread))
        assert rows.equal(entries)


@PROBLEMS
def test_one_segment_needs_no_segments(num_positives, num_scores, num_segments, seed, kind, delta):
    positives, scores = (random_scores(n, seed, kind) for n in (num_positives, num_scores))
    steps, zeros = Steps(positives, delta), torch.zeros(num_scores, dtype=torch.int64)
    assert steps.bucket(scores.double()).equal(steps.bucket(scores.double(), zeros))


@PROBLEMS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_look_up_equals_the_search(
    dtype, num_positives, num_scores, num_segments, seed, kind, delta
):
    segments = random_segments(num_positives, num_segments, seed)
    positives = random_scores(num_positives, seed, kind).to(dtype).nan_to_num()
    steps = Steps(positives, delta, segments, num_segments)
    # Scores on the ends and beside them, where an inexact cell would show.
    ends = steps.ends.float()
    scores = torch.cat(
        [
            random_scores(num_scores, seed + 1, kind),
            ends,
            ends.nextafter(INFINITY),
            ends.nextafter(-INFINITY),
            torch.tensor([-65504.0, 65504.0]),
        ]
    )
    scores = scores.to(dtype).float()
    segments = random_segments(len(scores), num_segments, seed + 1)
    weights = random_weights(len(scores), seed)
    # Many logits of half precision are looked up by their bit patterns.
    search, grid = Search(steps), make_grid(steps, torch.empty(2**19, dtype=dtype))
    lines = steps.sum_over_positives(torch.ones(num_positives))
    for part in (slice(None), slice(0), slice(1)):
        for shape in ((-1,), (-1, 1)):
            args = scores[part].view(shape), segments[part].view(shape)
            for own_weights in (None, weights[part].view(shape)):
                parts = [Part(*args, own_weights)]
                found, expected = (
                    steps.sum_over_scores(sums.histogram(parts)) for sums in (grid, search)
                )
                torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-6)
            found, expected = (sums.evaluator(lines)(*args) for sums in (grid, search))
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_infinite_scores_count_fully_or_not_at_all(dtype):
    steps = Steps(torch.tensor([0.0, 1.0]), 0.5)
    scores = torch.tensor([INFINITY, -INFINITY, 0.0, 5.0])
    lines = steps.sum_over_positives(torch.tensor([3.0, 4.0]))
    for sums in (Search(steps), make_grid(steps, torch.empty(2**17, dtype=dtype))):
        assert steps.sum_over_scores(sums.histogram([Part(scores)])).tolist() == [2.5, 2.0]
        assert sums.evaluator(lines)(scores, None).tolist() == [7.0, 0.0, 1.5, 7.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_nan_spoils_the_histogram_and_its_own_value_only(dtype):
    steps = Steps(torch.tensor([0.0, 1.0]), 0.5)
    scores = torch.tensor([float("nan"), 0.0, 5.0])
    lines = steps.sum_over_positives(torch.ones(2))
    for sums in (Search(steps), make_grid(steps, torch.empty(2**17, dtype=dtype))):
        assert sums.histogram([Part(scores)]).isnan().any()
        values = sums.evaluator(lines)(scores, None)
        assert values[0].isnan()
        assert values[1:].tolist() == [0.5, 2.0]


def test_float64_scores_are_searched_and_narrower_ones_looked_up_on_a_cpu():
    steps = Steps(torch.zeros(1), 1.0)
    chosen = {
        d: type(step_sums(steps, torch.empty(9, dtype=d)).sums) for d in (torch.half, torch.double)
    }
    assert chosen == {torch.half: Grid, torch.double: Search}


@pytest.mark.parametrize("delta", [-0.1, float("nan"), float("inf")])
def test_a_delta_without_a_step_is_refused(delta):
    with pytest.raises(ValueError, match="delta must be >= 0 and finite"):
        Steps(torch.zeros(1), delta)
