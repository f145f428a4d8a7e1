from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from imbdet.structures import Choice, Priors, Targets
from tests.flow import make_candidates

# Two classes: 2 is the background, -1 ignored.
CANDIDATES = make_candidates(
    torch.tensor([2, 0, -1, 1, 2, 2]),
    torch.tensor([-1, 0, -1, 1, -1, -1]),
    num_per_image=[4, 2],
    num_classes=2,
)


def test_ignored_candidates_are_neither_positive_nor_negative():
    assert CANDIDATES.is_positive.tolist() == [False, True, False, True, False, False]
    assert CANDIDATES.is_negative.tolist() == [True, False, False, False, True, True]
    assert CANDIDATES.pos_idxs.tolist() == [1, 3]
    assert CANDIDATES.neg_idxs.tolist() == [0, 4, 5]


def test_signs_are_those_of_replaced_labels():
    assert len(CANDIDATES.pos_idxs) == 2  # and kept from here on
    changed = replace(CANDIDATES, gt_labels=torch.full((6,), -1))
    assert len(changed.pos_idxs) == len(changed.neg_idxs) == 0


@pytest.mark.parametrize("idxs", [torch.tensor([2, 3, 5]), slice(None)], ids=["some", "all"])
def test_what_is_known_of_rows_is_known_of_chosen_ones(idxs):
    known = {name: torch.rand(6) for name in ("ious", "quality")}
    candidates = replace(CANDIDATES, **known, is_in_region=CANDIDATES.gt_labels == -1)
    chosen = candidates.take(Choice(idxs, [len(candidates.gt_labels[idxs])]))
    columns = {f.name for f in fields(chosen) if isinstance(getattr(candidates, f.name), Tensor)}
    assert columns == {"gt_labels", "gt_idxs", "ious", "quality", "is_in_region"}
    for name in columns:
        assert getattr(chosen, name).equal(getattr(candidates, name)[idxs]), name


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"boxes": (3, 5)}, r"boxes have the shape \(3, 5\), not \(R, 4\)"),
        ({"boxes": (3, 4), "points": (3, 4)}, r"points have the shape \(3, 4\), not \(R, 2\)"),
        ({"boxes": (3, 4), "points": (2, 2)}, "3 priors have 2 points"),
    ],
)
def test_priors_of_other_shapes_are_refused(shapes, message):
    with pytest.raises(ValueError, match=message):
        Priors(**{name: torch.zeros(shape) for name, shape in shapes.items()})


@pytest.mark.parametrize(
    ("num_per_image", "expected"), [(None, [3]), ([2, 0, 1], [2, 0, 1]), ([], [])]
)
def test_targets_have_a_count_for_each_image(num_per_image, expected):
    size = sum(expected)
    targets = Targets(torch.zeros(size, 4), torch.zeros(size, dtype=torch.int64), num_per_image)
    assert targets.counts == expected
    assert targets.num_images == len(expected)
    assert [len(own) for own in targets.by_image()] == expected
    assert targets.image_idxs.bincount(minlength=len(expected)).tolist() == expected
