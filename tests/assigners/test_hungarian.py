"""Hungarian matching against all possible matchings."""

import numpy as np
import pytest
import torch

from imbdet import assigners
from imbdet.assigners import Outputs, Priors, Targets
from tests.assigners import definitions
from tests.assigners.scenes import pyramid, random_outputs, random_targets


def total(assignment, costs):
    """Sum of the costs of the pairs, and how many priors each object has."""
    rows = (assignment.gt_idxs >= 0).nonzero().squeeze(1)
    objects = assignment.gt_idxs[rows]
    counts = torch.bincount(objects, minlength=costs.shape[1]).tolist()
    return costs[rows.numpy(), objects.numpy()].sum(), counts


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("num_objects", [1, 2, 3])
def test_a_prior_for_each_object(seed, num_objects):
    generator = torch.Generator().manual_seed(seed)
    priors = pyramid(32, 32, strides=(8,))
    targets = random_targets(generator, [num_objects], 32, 32)
    outputs = random_outputs(generator, priors, targets)
    costs = definitions.matching_costs(targets, outputs, "cxcywh")
    found, counts = total(assigners.hungarian(priors, targets, outputs), costs)
    assert counts == [1] * num_objects
    np.testing.assert_allclose(found, definitions.lowest_sum(costs), rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("num_objects", "copies"), [(1, 3), (2, 2)])
def test_several_priors_for_each_object(seed, num_objects, copies):
    generator = torch.Generator().manual_seed(seed)
    priors = pyramid(16, 24, strides=(8,))  # six priors: three for one object, two for two
    targets = random_targets(generator, [num_objects], 16, 24)
    outputs = random_outputs(generator, priors, targets)
    costs = definitions.matching_costs(targets, outputs, "xyxy")
    assignment = assigners.topk_hungarian(priors, targets, outputs, topk=copies)
    found, counts = total(assignment, costs)
    assert counts == [copies] * num_objects
    expected = definitions.lowest_sum(np.repeat(costs, copies, axis=1))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("topk", [1, 2])
def test_of_more_objects_than_priors_only_detrs_matching_takes_some(topk):
    generator = torch.Generator().manual_seed(0)
    priors = pyramid(8, 16, strides=(8,))
    targets = random_targets(generator, [3], 8, 16)
    outputs = random_outputs(generator, priors, targets)
    found = assigners.topk_hungarian(priors, targets, outputs, topk=topk).gt_idxs
    assert found.tolist() == [-1, -1]
    assert (assigners.hungarian(priors, targets, outputs).gt_idxs >= 0).all()


def test_queries_of_a_detr_in_parts_of_the_image():
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(2 * 20, 4, generator=generator).sort(dim=1).values[:, [0, 1, 2, 3]]
    gt_boxes = boxes[[3, 7, 25]]
    classes = torch.tensor([0, 1, 0])
    targets = Targets(gt_boxes, classes, [2, 1], image_sizes=[(1, 1), (1, 1)])
    outputs = Outputs(torch.zeros(40, 2), boxes)
    found = assigners.hungarian(Priors(torch.zeros(20, 4)), targets, outputs)
    assert found.gt_idxs[[3, 7, 25]].tolist() == [0, 1, 2]
    assert (found.gt_idxs >= 0).sum() == 3
    assert found.ious[[3, 7, 25]].tolist() == [1, 1, 1]


def test_predictions_that_are_not_finite_are_matched_last():
    generator = torch.Generator().manual_seed(0)
    priors = pyramid(16, 16, strides=(8,))
    targets = random_targets(generator, [2], 16, 16)
    outputs = random_outputs(generator, priors, targets)
    outputs.logits[0] = torch.nan
    outputs.boxes[1] = torch.inf
    found = assigners.hungarian(priors, targets, outputs).gt_idxs
    assert found[:2].tolist() == [-1, -1]
    assert sorted(found[2:].tolist()) == [0, 1]


@pytest.mark.parametrize("assigner", [assigners.hungarian, assigners.topk_hungarian])
def test_bad_input(assigner):
    generator = torch.Generator().manual_seed(0)
    priors = pyramid(16, 16, strides=(8,))
    targets = random_targets(generator, [2], 16, 16)
    outputs = random_outputs(generator, priors, targets)
    with pytest.raises(ValueError, match="box_format is 'xywh'"):
        assigner(priors, targets, outputs, box_format="xywh")
    with pytest.raises(ValueError, match="sizes of images"):
        assigner(priors, Targets(targets.boxes, targets.classes), outputs)
    with pytest.raises(ValueError, match="decoded boxes"):
        assigner(priors, targets, Outputs(outputs.logits))
