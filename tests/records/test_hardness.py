"""Hardness of objects and images against slow definitions."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.records.hardness import hardness_of_images, hardness_of_objects

OBJECT = st.integers(0, 6).flatmap(
    lambda judged: st.tuples(
        st.just(judged), st.integers(0, judged), st.integers(0, judged), st.integers(0, 2)
    )
)
OBJECTS = st.lists(OBJECT, max_size=8)


@given(objects=OBJECTS, data=st.data())
def test_hardness_is_that_of_the_definition(objects, data):
    is_learnt = [bool(own[1]) and data.draw(st.booleans()) for own in objects]
    judged, learnt, forgotten, _ = torch.tensor(objects).view(-1, 4).int().unbind(1)
    forgotten = forgotten.minimum(learnt)
    columns = {"is_learnt": torch.tensor(is_learnt, dtype=torch.bool), "learnt": learnt}
    found = hardness_of_objects({**columns, "forgotten": forgotten})
    expected = [
        int(forgotten[k]) / int(learnt[k]) if is_learnt[k] else 1.0 for k in range(len(objects))
    ]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    numbers, left = [], len(objects)
    while left:
        numbers.append(data.draw(st.integers(0, left)))
        left -= numbers[-1]
    of_images = hardness_of_images(found, judged > 0, torch.tensor([*numbers, 0]))
    torch.testing.assert_close(of_images, means_of_images(expected, objects, [*numbers, 0]))


def means_of_images(hardness, objects, numbers):
    means, first = [], 0
    for number in numbers:
        own = [hardness[k] for k in range(first, first + number) if objects[k][0] > 0]
        means.append(sum(own) / len(own) if own else None)
        first += number
    known = [mean for mean in means if mean is not None]
    neutral = sum(known) / len(known) if known else 0.0
    return torch.tensor([neutral if x is None else x for x in means], dtype=torch.float64)
