"""The figure of a search shows each training at each rung."""

import numpy as np

from imbdet.figures.search_rungs import Reached, SearchRungs

NUMBERS = SearchRungs(
    [
        Reached(arm, seed, iteration, 10.0 * place + iteration / 10 + seed)
        for place, arm in enumerate(("best", "second", "third"))
        for iteration in ((10, 30) if arm != "third" else (10,))
        for seed in (1, 2)
    ]
)


def test_each_rung_has_its_seeds_and_means():
    (axes,) = NUMBERS.draw().axes
    seeds_at_10, means_at_10, seeds_at_30, means_at_30 = (
        dots.get_offsets().data for dots in axes.collections
    )
    np.testing.assert_allclose(means_at_10, [(2.5, 0), (12.5, 1), (22.5, 2)])
    np.testing.assert_allclose(means_at_30, [(4.5, 0), (14.5, 1)])
    np.testing.assert_allclose(seeds_at_10[:2], [(2, 0), (3, 0)])
    assert len(seeds_at_30) == 4
    assert [label.get_text() for label in axes.get_yticklabels()] == ["best", "second", "third"]


def test_the_sentence_counts_arms():
    assert NUMBERS.sentence() == "3 arms at iteration 10, 2 arms at iteration 30."
    assert NUMBERS.table().num_rows == 10
