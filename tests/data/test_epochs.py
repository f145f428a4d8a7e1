"""Epochs show images as often as their factors say, by a seed and a number alone."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbdet.data.epochs import ClassAwareImages, RepeatedImages

MEMBERS = st.lists(st.lists(st.integers(0, 8), min_size=1, unique=True), min_size=1, max_size=5)


@given(members=MEMBERS, num_images=st.integers(1, 40), seed=st.integers(0, 3))
def test_classes_take_turns_and_so_do_the_images_of_each(members, num_images, seed):
    images = [np.array(own) for own in members]
    epoch = ClassAwareImages(images, num_images)(seed, 0)
    assert len(epoch) == num_images
    # A class that alone has its images: they come as often as each other, and as other classes'.
    owners = {}
    for number, own in enumerate(members):
        for image in own:
            owners.setdefault(image, set()).add(number)
    counts = Counter(epoch.tolist())
    for number, own in enumerate(members):
        if all(owners[image] == {number} for image in own):
            total = sum(counts[image] for image in own)
            assert num_images // len(members) <= total <= -(-num_images // len(members))
            shown = [counts[image] for image in own]
            assert max(shown) - min(shown) <= 1
    assert set(counts) <= set(owners)


@pytest.mark.parametrize(
    "epochs",
    [
        ClassAwareImages([np.arange(5), np.array([7])], 20),
        RepeatedImages(np.array([0, 0.5, 1, 2.5])),
    ],
    ids=["class aware", "repeated"],
)
def test_an_epoch_is_a_function_of_seed_and_number(epochs):
    seen = {tuple(epochs(seed, number)) for seed in range(3) for number in range(3)}
    assert len(seen) > 6
    assert (epochs(1, 2) == epochs(1, 2)).all()


def test_repeats_below_1_are_chances():
    epochs = RepeatedImages(np.array([0, 0.25, 1]))
    counts = Counter(image for number in range(800) for image in epochs(0, number).tolist())
    assert counts[0] == 0
    assert counts[1] / 800 == pytest.approx(0.25, abs=0.06)  # 4 standard deviations
    assert counts[2] == 800
