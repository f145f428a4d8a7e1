"""Doubts of annotated classes against their slow definition, and their properties."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imbdet.suspects.doubt import confused_classes, doubts_of_classes

OBJECT = st.tuples(st.integers(0, 6), st.floats(0, 1), st.integers(0, 2))
OBJECTS = st.lists(OBJECT, max_size=8)


def doubts(objects):
    judged, rival, classes = zip(*objects, strict=True) if objects else ((), (), ())
    rival = [r if n else np.nan for n, r in zip(judged, rival, strict=True)]
    return doubts_of_classes(
        np.array(judged, dtype=np.int32), np.array(rival, float), np.array(classes, dtype=np.int32)
    )


def doubt(own, objects):
    def part(thing):
        return thing[0] * thing[1] / (thing[0] + 1)

    alike = [part(other) for other in objects if other[0] and other[2] == own[2]]
    return max(0.0, part(own) - sum(alike) / len(alike)) if own[0] else 0.0


@given(OBJECTS)
def test_doubts_are_those_of_the_definition(objects):
    found = doubts(objects)
    assert found == pytest.approx([doubt(own, objects) for own in objects])
    assert ((found >= 0) & (found < 1)).all()


@given(OBJECTS, st.permutations(range(3)))
def test_neither_the_names_nor_the_order_of_classes_count(objects, names):
    renamed = [(n, r, names[label]) for n, r, label in reversed(objects)]
    assert doubts(renamed)[::-1] == pytest.approx(doubts(objects))


@given(OBJECTS, st.integers(0, 7), st.floats(0, 1))
def test_more_of_a_rival_is_no_less_doubt(objects, place, more):
    assume(place < len(objects))
    n, r, label = objects[place]
    changed = [*objects[:place], (n, max(r, more), label), *objects[place + 1 :]]
    assert doubts(changed)[place] >= doubts(objects)[place] - 1e-12


def test_a_class_that_is_always_taken_for_another_casts_no_doubt_on_its_objects():
    found = doubts([(4, 0, 0)] * 4 + [(4, 1, 0), (4, 1, 1), (4, 1, 1), (4, 1, 2)])
    assert found == pytest.approx([0, 0, 0, 0, 0.8 * 0.8, 0, 0, 0])


def test_few_sights_say_little():
    found = doubts([(1, 1, 0), (9, 1, 0), *[(9, 0, 0)] * 98])
    assert found[:2] == pytest.approx([0.5 - 0.014, 0.9 - 0.014])


@given(OBJECTS)
def test_confused_classes_are_those_most_of_whose_objects_are_said_to_be_others(objects):
    judged, rival, classes = zip(*objects, strict=True) if objects else ((), (), ())
    rival = [r if n else np.nan for n, r in zip(judged, rival, strict=True)]
    found = confused_classes(
        np.array(judged, dtype=np.int32), np.array(rival, float), np.array(classes, dtype=np.int32)
    )
    expected = []
    for label in range(3):
        own = [r > 0.5 for n, r, c in zip(judged, rival, classes, strict=True) if n and c == label]
        if len(own) > 1 and sum(own) > len(own) / 2:
            expected.append(label)
    assert found.tolist() == expected
