"""The order of images, a function of seed and iteration, against a slow stream of images."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbdet.data.epochs import RepeatedImages
from imbdet.data.order import BatchOrder

from detectron2.data.common import AspectRatioGroupedDataset  # isort: skip  (after imbdet)


def make_order(num_images=10, *, share_wide=0.5, mean_repeats=1.0, subset_size=None, **options):
    generator = np.random.default_rng(num_images)
    options = {"seed": 3, "batch_size": 2, **options}
    repeats = np.full(num_images, mean_repeats, dtype=np.float32)
    return BatchOrder(
        RepeatedImages(repeats, subset_size), generator.random(num_images) < share_wide, **options
    )


def take(order, number, start=0):
    return list(islice(order.batches(start), number))


def stream(order, num_epochs):
    """All images of all processes, one after the other."""
    for epoch in range(num_epochs):
        for place, index in enumerate(order.epoch(epoch)):
            yield (index, epoch, place)


@given(
    num_images=st.integers(1, 30),
    share_wide=st.sampled_from([0, 0.3, 1]),
    mean_repeats=st.sampled_from([1, 1.3, 2.5]),
    batch_size=st.integers(1, 5),
    num_processes=st.integers(1, 4),
    start=st.integers(0, 20),
    data=st.data(),
)
def test_batches_are_those_of_detectron2_from_any_iteration_on(
    num_images, share_wide, mean_repeats, batch_size, num_processes, start, data
):
    rank = data.draw(st.integers(0, num_processes - 1))
    order = make_order(
        num_images,
        share_wide=share_wide,
        mean_repeats=mean_repeats,
        batch_size=batch_size,
        rank=rank,
        num_processes=num_processes,
    )
    own = islice(stream(order, 2000), rank, None, num_processes)
    images = (
        {"width": 2 if order._is_wide[draw[0]] else 1, "height": 1, "draw": draw} for draw in own
    )
    batches = islice(AspectRatioGroupedDataset(images, batch_size), start, start + 7)
    expected = [[image["draw"] for image in batch] for batch in batches]
    assert take(order, 7, start) == expected


@pytest.mark.parametrize("num_processes", [1, 3])
def test_an_epoch_shows_each_image_once(num_processes):
    orders = [
        make_order(30, share_wide=0, batch_size=5, rank=rank, num_processes=num_processes)
        for rank in range(num_processes)
    ]
    for epoch in range(3):
        draws = [
            draw
            for order in orders
            for batch in take(order, 6 // num_processes, epoch * 6 // num_processes)
            for draw in batch
        ]
        assert sorted(draw.index for draw in draws) == list(range(30))
        assert {draw.epoch for draw in draws} == {epoch}


def test_without_groups_processes_share_the_very_same_images():
    alone = take(make_order(share_wide=0, batch_size=4), 20)
    halves = [
        take(make_order(share_wide=0, batch_size=2, rank=rank, num_processes=2), 20)
        for rank in (0, 1)
    ]
    for whole, first, second in zip(alone, *halves, strict=True):
        assert sorted(whole) == sorted(first + second)


def test_epochs_and_seeds_are_shuffled_anew():
    epochs = {tuple(make_order(seed=seed).epoch(i)) for seed in range(3) for i in range(3)}
    assert len(epochs) == 9


def test_repeats_are_right_on_average_and_drawn_anew():
    order = make_order(4, mean_repeats=1.25)
    counts = [Counter(order.epoch(i).tolist()) for i in range(800)]
    assert {number for count in counts for number in count.values()} == {1, 2}
    for index in range(4):
        mean = sum(count[index] for count in counts) / 800
        assert mean == pytest.approx(1.25, abs=0.06)  # 4 standard deviations


def test_a_subset_stays_the_same():
    orders = [make_order(20, subset_size=5, seed=seed) for seed in (0, 1)]
    first, second = ({i for n in range(9) for i in order.epoch(n).tolist()} for order in orders)
    assert len(first) == len(second) == 5
    assert first != second
