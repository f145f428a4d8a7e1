from dataclasses import replace

import torch

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
