"""Distances to the sides of a box, in strides."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.ops.distances import DistanceTransform

COORDINATES = st.floats(-100, 100, width=32)
SIDES = st.floats(1, 100, width=32)


@given(COORDINATES, COORDINATES, SIDES, st.tuples(*[st.floats(0, 50, width=32)] * 4))
def test_a_box_around_the_centre_is_decoded_from_its_distances(x, y, side, distances):
    prior = torch.tensor([[x, y, x + side, y + side]], dtype=torch.float64)
    left, top, right, bottom = distances
    center = x + side / 2, y + side / 2
    box = prior.new_tensor(
        [[center[0] - left, center[1] - top, center[0] + right, center[1] + bottom]]
    )
    transform = DistanceTransform(strides_per_prior=8)
    deltas = transform.get_deltas(prior, box)
    torch.testing.assert_close(deltas * side / 8, prior.new_tensor([distances]))
    torch.testing.assert_close(transform.apply_deltas(deltas, prior), box)


def test_negative_distances_decode_to_0():
    prior = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
    box = DistanceTransform().apply_deltas(torch.tensor([[-1.0, 0.5, -2.0, 0.25]]), prior)
    assert box.tolist() == [[2.0, 0.0, 2.0, 3.0]]


def test_a_prior_beside_its_object_has_negative_distances():
    prior = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
    deltas = DistanceTransform().get_deltas(prior, torch.tensor([[10.0, 0.0, 14.0, 4.0]]))
    assert deltas.tolist() == [[-2.0, 0.5, 3.0, 0.5]]


def test_there_may_be_no_box():
    none = torch.empty(0, 4)
    assert DistanceTransform().get_deltas(none, none).shape == (0, 4)
    assert DistanceTransform().apply_deltas(none, none).shape == (0, 4)
