"""Assigners against their definitions, and properties that all of them have."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings

from imbdet import assigners
from imbdet.assigners import Outputs, Priors, Targets
from imbdet.ops import box_matrices
from tests.assigners import definitions
from tests.assigners.scenes import pyramid, random_outputs, random_targets, scenes

ASSIGNERS = {
    "max_iou": lambda priors, targets, outputs: assigners.max_iou(priors, targets),
    "max_iou, thresholds alone": lambda priors, targets, outputs: assigners.max_iou(
        priors, targets, allow_low_quality_matches=False
    ),
    "atss": lambda priors, targets, outputs: assigners.atss(priors, targets, topk=4),
    "ddod": lambda priors, targets, outputs: assigners.ddod(priors, targets, outputs, topk=4),
    "fcos": lambda priors, targets, outputs: assigners.fcos(priors, targets),
    "hungarian": assigners.hungarian,
    "paa": lambda priors, targets, outputs: assigners.paa(priors, targets, outputs, topk=4),
    "simota": assigners.simota,
    "soft_label": assigners.soft_label,
    "task_aligned": assigners.task_aligned,
    "topk_hungarian": assigners.topk_hungarian,
}


def image(number, priors, targets, outputs):
    """One image of a batch."""
    of_image = targets.image_idxs == number
    rows = slice(number * len(priors), (number + 1) * len(priors))
    return (
        Targets(
            targets.boxes[of_image],
            targets.classes[of_image],
            image_sizes=targets.image_sizes[number : number + 1],
        ),
        Outputs(outputs.logits[rows], outputs.boxes[rows]),
    )


def by_definition(name, priors, targets, outputs):
    """The assignment of one image by the definition."""
    if name.startswith("max_iou"):
        return definitions.max_iou(priors, targets, 0.4, 0.5, low_quality=name == "max_iou")
    if name == "atss":
        ious = definitions.ious_of(priors.boxes, targets.boxes)
        return definitions.atss(priors, targets, ious, topk=4)
    if name == "ddod":
        scores, ious = definitions.scores_and_ious(targets, outputs)
        return definitions.atss(priors, targets, scores**0.2 * ious**0.8, topk=4)
    if name == "fcos":
        return definitions.fcos(priors, targets, 1.5)
    if name == "paa":
        return definitions.paa(priors, targets, outputs, 4, 0.1, 1.3)
    if name == "simota":
        return definitions.simota(priors, targets, outputs, 2.5, 10, 3.0, 1.0)
    if name == "soft_label":
        return definitions.soft_label(priors, targets, outputs, 3.0, 13, 3.0)
    return definitions.task_aligned(priors, targets, outputs, 13, 1.0, 6.0)


def double(priors, targets, outputs):
    """The arguments in double precision, so that no rounding decides."""
    priors = Priors(
        priors.boxes.double(),
        strides=priors.strides.double(),
        level_sizes=priors.level_sizes,
        num_per_point=priors.num_per_point,
    )
    targets = replace(targets, boxes=targets.boxes.double())
    return priors, targets, Outputs(outputs.logits.double(), outputs.boxes.double())


@pytest.mark.parametrize("name", [name for name in ASSIGNERS if "hungarian" not in name])
@settings(max_examples=15)
@given(scene=scenes())
def test_the_definition(name, scene):
    priors, targets, outputs = double(*scene)
    found = ASSIGNERS[name](priors, targets, outputs).gt_idxs.unflatten(0, (-1, len(priors)))
    num_before = 0
    for number, of_image in enumerate(found):
        own, own_outputs = image(number, priors, targets, outputs)
        expected = torch.tensor(by_definition(name, priors, own, own_outputs))
        expected = torch.where(expected >= 0, expected + num_before, expected)
        assert of_image.tolist() == expected.tolist()
        num_before += len(own)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("beta", [0.0, 0.5])
@settings(max_examples=15)
@given(scene=scenes())
def test_the_definition_of_task_aligned_with_other_exponents(alpha, beta, scene):
    priors, targets, outputs = double(*scene)
    for number in range(targets.num_images):
        problem = priors, *image(number, priors, targets, outputs)
        found = assigners.task_aligned(*problem, topk=5, alpha=alpha, beta=beta)
        assert found.gt_idxs.tolist() == definitions.task_aligned(*problem, 5, alpha, beta)


def test_where_points_are_equally_far_atss_takes_them_with_all_of_their_priors():
    """This holds though the centres of the boxes of a point differ by rounding."""
    priors = pyramid(64, 64, num_per_point=3)
    centers = torch.cartesian_prod(torch.arange(8.0, 57, 8), torch.arange(8.0, 57, 8))
    targets = Targets(torch.cat([centers - 10, centers + 10], dim=1), torch.zeros(49).long())
    assert len(priors.points.unique(dim=0)) > len(priors.points) // 3  # they do
    ious = definitions.ious_of(priors.boxes, targets.boxes)
    found = assigners.atss(priors, targets, topk=2).gt_idxs
    assert found.tolist() == definitions.atss(priors, targets, ious, topk=2)


@pytest.mark.parametrize("name", ASSIGNERS)
def test_chunks_of_objects_change_nothing(name, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    priors = pyramid(48, 64)
    targets = random_targets(generator, [3, 0, 4], 48, 64)
    outputs = random_outputs(generator, priors, targets)
    at_once = ASSIGNERS[name](priors, targets, outputs)
    monkeypatch.setattr(box_matrices, "MAX_PAIRS_ON_CPU", 2 * len(priors))
    in_chunks = ASSIGNERS[name](priors, targets, outputs)
    assert at_once.gt_idxs.tolist() == in_chunks.gt_idxs.tolist()
    torch.testing.assert_close(at_once.ious, in_chunks.ious)


@pytest.mark.parametrize("name", ASSIGNERS)
@pytest.mark.parametrize(
    ("num_per_image", "height", "width"), [([0], 32, 32), ([2], 8, 8), ([0, 0], 8, 8)]
)
def test_few_objects_and_priors(name, num_per_image, height, width):
    generator = torch.Generator().manual_seed(0)
    priors = pyramid(height, width, strides=(8,))
    targets = random_targets(generator, num_per_image, height, width)
    outputs = random_outputs(generator, priors, targets)
    assignment = ASSIGNERS[name](priors, targets, outputs)
    assert len(assignment.gt_idxs) == len(assignment.ious) == len(priors) * len(num_per_image)
    assert assignment.ious.isfinite().all()
    if not len(targets):
        assert (assignment.gt_idxs == -1).all()


@pytest.mark.parametrize("name", ASSIGNERS)
def test_saturated_predictions_leave_nothing_undefined(name):
    generator = torch.Generator().manual_seed(0)
    priors = pyramid(48, 64)
    targets = random_targets(generator, [3], 48, 64)
    outputs = random_outputs(generator, priors, targets)
    outputs = Outputs(outputs.logits.sign() * 200, outputs.boxes)
    assignment = ASSIGNERS[name](priors, targets, outputs)
    assert assignment.ious.isfinite().all()
    assert assignment.gt_idxs.max() < len(targets)


def test_quality_is_the_highest_iou_of_each_object_at_its_best_prior():
    generator = torch.Generator().manual_seed(0)
    priors = pyramid(48, 64)
    targets = random_targets(generator, [4], 48, 64)
    outputs = random_outputs(generator, priors, targets)
    assignment = assigners.task_aligned(priors, targets, outputs, beta=1.0)
    for gt in assignment.gt_idxs.unique().tolist():
        own = assignment.gt_idxs == gt
        expected = assignment.ious[own].max() if gt >= 0 else torch.tensor(0.0)
        # As published, the highest alignment is divided by a little more than itself.
        torch.testing.assert_close(assignment.quality[own].max(), expected, rtol=1e-2, atol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "boxes, or points and their strides"),
        ({"points": torch.zeros(3, 2)}, "boxes, or points and their strides"),
        ({"boxes": torch.zeros(3, 4), "level_sizes": [2]}, "not add up to 3"),
        ({"boxes": torch.zeros(3, 4), "strides": torch.ones(2)}, "3 priors have 2 strides"),
    ],
)
def test_priors_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Priors(**arguments)


@pytest.mark.parametrize("name", ["fcos", "simota", "soft_label"])
def test_strides_are_asked_for_where_they_are_needed(name):
    generator = torch.Generator().manual_seed(0)
    with_strides = pyramid(16, 16)
    targets = random_targets(generator, [1], 16, 16)
    outputs = random_outputs(generator, with_strides, targets)
    with pytest.raises(ValueError, match="strides"):
        ASSIGNERS[name](Priors(with_strides.boxes), targets, outputs)


def test_points_are_squares_of_their_stride():
    priors = Priors(points=torch.tensor([[4.0, 12.0]]), strides=torch.tensor([8.0]))
    assert priors.boxes.tolist() == [[0, 8, 8, 16]]
