"""Matches of all images at once are those of detectron2's matcher, image by image."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.assigners import Priors, Targets, assign
from imbdet.modeling import batch_matcher
from imbdet.modeling.batch_matcher import BatchMatcher
from imbdet.modeling.matcher import MatcherAssigner, matching_assigner

# isort: split
from detectron2.modeling.matcher import Matcher

THRESHOLDS = {
    "two": ([0.5], [0, 1]),
    "three": ([0.3, 0.7], [0, -1, 1]),
    "ignored far from objects": ([0.1, 0.4, 0.6], [-1, 0, -1, 1]),
    "only an object's best": ([0.3, 0.7], [0, -1, -1]),
}
# Few different corners, so that many IoUs are equal, and boxes without an area.
CORNERS = st.lists(st.integers(0, 4), min_size=4, max_size=4)
BOXES = st.lists(CORNERS, max_size=5)


def to_boxes(corners):
    first, second = torch.tensor(corners, dtype=torch.float32).reshape(-1, 2, 2).unbind(dim=1)
    return torch.cat([torch.minimum(first, second), torch.maximum(first, second)], dim=1)


@pytest.mark.parametrize("name", THRESHOLDS)
@pytest.mark.parametrize("finds_all", [False, True])
@given(
    objects=st.lists(BOXES, min_size=1, max_size=4),
    anchors=BOXES,
    proposals=st.lists(BOXES, min_size=4, max_size=4),
    max_pairs=st.sampled_from([1, 20, 1000]),
)
def test_as_image_by_image(name, finds_all, objects, anchors, proposals, max_pairs):
    matcher = Matcher(*THRESHOLDS[name], allow_low_quality_matches=finds_all)
    at_once, by_image = matching_assigner(matcher), MatcherAssigner(matcher)
    assert isinstance(at_once, BatchMatcher)
    numbers = [len(own) for own in objects]
    boxes = to_boxes([box for own in objects for box in own])
    targets = Targets(boxes, torch.zeros(len(boxes), dtype=torch.int64), numbers)
    proposals = proposals[: len(objects)]
    of_proposals = [len(own) for own in proposals]
    kinds = [
        Priors(to_boxes(anchors)),
        Priors(torch.cat([to_boxes(own) for own in proposals]), num_per_image=of_proposals),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_matcher, "MAX_PAIRS", max_pairs)
        for priors in kinds:
            found, expected = (assign(a, priors, targets, None, 1) for a in (at_once, by_image))
            for column in ("gt_idxs", "gt_labels", "ious"):
                assert torch.equal(getattr(found, column), getattr(expected, column)), column


def test_matchers_of_other_classes_see_the_matrix_of_an_image():
    class Own(Matcher):
        pass

    assert isinstance(matching_assigner(Own([0.5], [0, 1])), MatcherAssigner)
