"""Images of periods are the same from any iteration on, and in proportion to their factors."""

import functools
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbdet.data.image_periods import ImagePeriods, length_of_period
from imbdet.data.order import BatchOrder
from imbdet.data.repeat_factors import by_hardness
from tests.messages import assert_says, error_of

NUM_IMAGES = 6


def make_order(*, rank=0, num_processes=1, num_wide=3):
    is_wide = np.arange(NUM_IMAGES) < num_wide
    return functools.partial(
        BatchOrder, is_wide=is_wide, seed=3, batch_size=2, rank=rank, num_processes=num_processes
    )


def factors_of(number):
    """Factors of a period, as a ledger might give them."""
    return np.random.default_rng(number).uniform(1, 4, NUM_IMAGES).astype(np.float32)


def take(length, start, number, **options):
    """Batches of a training that begins in ``start`` and learns factors on its way."""
    periods = ImagePeriods(NUM_IMAGES, length, num_workers=0)
    now = start // length
    for of_period in (now, now + 1):
        periods.set_factors(of_period, factors_of(of_period))
    batches = periods.batches(make_order(**options), start)
    taken = []
    for done in range(start, start + number):
        taken.append(next(batches))
        if (done + 1) % length == 0:
            of_period = (done + 1) // length + 1
            periods.set_factors(of_period, factors_of(of_period))
    return taken


@given(length=st.integers(1, 7), start=st.integers(0, 20), num_wide=st.integers(0, NUM_IMAGES))
def test_from_any_iteration_on_batches_are_the_same(length, start, num_wide):
    whole = take(length, 0, start + 9, num_wide=num_wide)
    assert whole[start:] == take(length, start, 9, num_wide=num_wide)
    draws = [draw for batch in whole for draw in batch]
    assert len({draw[1:] for draw in draws}) == len(draws)
    assert all(len({draw.index < num_wide for draw in batch}) == 1 for batch in whole)


def test_processes_share_the_draws_of_a_period():
    parts = [take(5, 0, 10, rank=rank, num_processes=2, num_wide=0) for rank in (0, 1)]
    first = [{draw for batch in part[:5] for draw in batch} for part in parts]
    assert not first[0] & first[1]
    whole = take(10, 0, 10, num_wide=0)
    assert first[0] | first[1] == {draw for batch in whole for draw in batch}


def test_a_period_shows_images_in_proportion_to_their_factors():
    periods = ImagePeriods(NUM_IMAGES, 500, num_workers=0)
    hardness = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    factors = by_hardness(hardness, 4.0)
    np.testing.assert_allclose(factors, [1, 1.6, 2.2, 2.8, 3.4, 4], rtol=1e-6)
    periods.set_factors(0, factors)
    batches = islice(periods.batches(make_order(num_wide=0)), 500)
    counts = Counter(draw.index for batch in batches for draw in batch)
    shares = np.array([counts[index] for index in range(NUM_IMAGES)]) / 1000
    # An image comes as often as its factor says but for the chance of one more, epoch by epoch.
    np.testing.assert_allclose(shares, factors / factors.sum(), atol=0.01)


def test_first_periods_show_all_images_alike():
    periods = ImagePeriods(NUM_IMAGES, length_of_period(0, NUM_IMAGES, 2), num_workers=1)
    batches = list(islice(periods.batches(make_order(num_wide=0)), 6))
    for of_period in (batches[:3], batches[3:]):
        assert Counter(draw.index for batch in of_period for draw in batch) == Counter(range(6))


def test_factors_that_are_not_known_are_never_guessed():
    batches = ImagePeriods(NUM_IMAGES, 2, num_workers=0).batches(make_order(), start=4)
    with pytest.raises(KeyError):
        next(batches)


def test_reading_beyond_the_next_period_is_refused():
    message = error_of(ImagePeriods, NUM_IMAGES, 7, 4)
    assert_says(message, "7 iterations", "NUM_WORKERS 4", "LEDGER.FEEDBACK.PERIOD to 8")
    ImagePeriods(NUM_IMAGES, 8, 4)
