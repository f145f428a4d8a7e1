"""Properties that every assigner has."""

import inspect
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from torch.utils._python_dispatch import TorchDispatchMode

from imbdet import assigners
from imbdet.assigners import Outputs, Priors, Targets, assign, join_images, pairs
from imbdet.methods import ASSIGNERS
from imbdet.ops import box_matrices
from imbdet.structures import needs_of
from tests.assigners.scenes import NUM_CLASSES, pyramid, random_outputs, random_targets, scenes
from tests.assigners.test_definitions import ASSIGNERS as CALLS
from tests.assigners.test_definitions import double, image


def permuted(targets, order):
    """The objects of a single image in another order."""
    return replace(targets, boxes=targets.boxes[order], classes=targets.classes[order])


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("seed", range(4))
def test_another_order_of_objects_is_the_same_assignment(name, seed):
    generator = torch.Generator().manual_seed(seed)
    priors = pyramid(64, 96)
    targets = random_targets(generator, [4], 64, 96)
    outputs = random_outputs(generator, priors, targets)
    if name == "paa" and has_shared_best_prior(priors, targets):
        pytest.skip("a prior that is the best of several objects goes to the last of them")
    problem = double(priors, targets, outputs)
    order = torch.randperm(len(targets), generator=generator)
    before = CALLS[name](*problem)
    after = CALLS[name](problem[0], permuted(problem[1], order), problem[2])
    found = torch.where(after.gt_idxs >= 0, order[after.gt_idxs.clamp(min=0)], after.gt_idxs)
    assert found.tolist() == before.gt_idxs.tolist()
    torch.testing.assert_close(after.ious, before.ious)
    if before.quality is not None:
        torch.testing.assert_close(after.quality, before.quality)


def has_shared_best_prior(priors, targets):
    ious = pairs.box_iou(priors.boxes, targets.boxes[:, None])
    return bool(((ious == ious.amax(dim=1, keepdim=True)).sum(dim=0) > 1).any())


@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=10)
@given(scene=scenes())
def test_a_batch_is_its_images_one_by_one(name, scene):
    priors, targets, outputs = scene
    at_once = CALLS[name](priors, targets, outputs)
    parts = [
        CALLS[name](priors, *image(number, priors, targets, outputs))
        for number in range(targets.num_images)
    ]
    one_by_one = join_images(parts, targets)
    assert at_once.gt_idxs.tolist() == one_by_one.gt_idxs.tolist()
    torch.testing.assert_close(at_once.ious, one_by_one.ious)


@pytest.mark.parametrize("name", CALLS)
def test_twins_of_different_classes_share_no_prior(name):
    generator = torch.Generator().manual_seed(0)
    priors = pyramid(64, 64)
    targets = Targets(
        torch.tensor([[8.0, 8.0, 40.0, 44.0]] * 2), torch.tensor([0, 1]), [2], [(64, 64)]
    )
    outputs = random_outputs(generator, priors, targets)
    found = CALLS[name](priors, targets, outputs).gt_idxs
    assert (found >= 0).any()
    assert set(found.tolist()) <= {-2, -1, 0, 1}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "box", [[-90.0, -80.0, -60.0, -50.0], [500.0, 500.0, 520.0, 530.0], [20.0, 20.0, 20.0, 20.0]]
)
def test_objects_outside_the_image_or_without_area(name, box):
    generator = torch.Generator().manual_seed(0)
    priors = pyramid(64, 64)
    targets = random_targets(generator, [2], 64, 64)
    targets.boxes[0] = torch.tensor(box)
    assignment = CALLS[name](priors, targets, random_outputs(generator, priors, targets))
    assert assignment.ious.isfinite().all()
    # detectron2's rule: an object that no anchor touches makes all of them positive.
    if name != "max_iou":
        most = {"topk_hungarian": 4}.get(name, 1)
        assert (assignment.gt_idxs == 0).sum() <= most


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_predictions_in_half_precision(name, dtype):
    generator = torch.Generator().manual_seed(0)
    priors = pyramid(256, 512)
    targets = random_targets(generator, [3], 256, 512)
    outputs = random_outputs(generator, priors, targets)
    half = Outputs(outputs.logits.to(dtype), outputs.boxes.to(dtype))
    rounded = Outputs(half.logits.float(), half.boxes.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = CALLS[name](priors, targets, half)
    expected = CALLS[name](priors, targets, rounded)
    assert found.gt_idxs.tolist() == expected.gt_idxs.tolist()
    torch.testing.assert_close(found.ious, expected.ious)
    assert found.ious.dtype == torch.float32


def in_type(priors, targets, outputs, dtypes):
    """The same boxes, and strides, with a type for each of the three."""
    of_priors, of_targets, of_outputs = dtypes
    return (
        Priors(
            priors.boxes.to(of_priors),
            strides=priors.strides.to(of_priors),
            level_sizes=priors.level_sizes,
        ),
        replace(targets, boxes=targets.boxes.to(of_targets)),
        replace(outputs, boxes=outputs.boxes.to(of_outputs)),
    )


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64])
@pytest.mark.parametrize("is_narrow", [(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_boxes_in_a_narrow_type_are_those_of_their_float32(name, dtype, is_narrow):
    generator = torch.Generator().manual_seed(0)
    # Areas of most of these boxes are beyond float16, and have more digits than bfloat16.
    priors = pyramid(1024, 1536, strides=(32, 64, 128), anchor_scale=5)
    targets = random_targets(generator, [6, 4], 1024, 1536)
    outputs = random_outputs(generator, priors, targets)
    dtypes = [dtype if is_one else torch.float32 for is_one in is_narrow]
    narrow = in_type(priors, targets, outputs, dtypes)
    wide = in_type(*narrow, [torch.float32] * 3)
    found, expected = CALLS[name](*narrow), CALLS[name](*wide)
    assert (expected.gt_idxs >= 0).any()
    assert found.gt_idxs.tolist() == expected.gt_idxs.tolist()
    torch.testing.assert_close(found.ious, expected.ious, rtol=0, atol=0)
    if expected.quality is not None:
        torch.testing.assert_close(found.quality, expected.quality, rtol=0, atol=0)


class LargestTensor(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that is made."""

    number = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().nbytes():
                stored = tensor.untyped_storage().nbytes() // tensor.element_size()
                self.number = max(self.number, stored)
        return result


@pytest.mark.parametrize("name", [name for name in CALLS if "hungarian" not in name])
def test_the_memory_of_a_thousand_objects_is_bounded(name, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    priors = pyramid(96, 128)
    targets = random_targets(generator, [1000], 96, 128)
    outputs = random_outputs(generator, priors, targets)
    outputs = replace(outputs, logits=outputs.logits.repeat(1, 20))  # 60 classes
    monkeypatch.setattr(box_matrices, "MAX_PAIRS_ON_CPU", 100 * len(priors))
    with LargestTensor() as largest:
        CALLS[name](priors, targets, outputs)
    # The boxes of pairs have four coordinates.
    assert largest.number <= 4 * box_matrices.MAX_PAIRS_ON_CPU < len(priors) * len(targets)


@pytest.mark.parametrize("name", CALLS)
def test_no_prior(name):
    generator = torch.Generator().manual_seed(0)
    none = torch.zeros(0)
    priors = Priors(torch.zeros(0, 4), strides=none, level_sizes=[0, 0])
    targets = random_targets(generator, [2, 1], 32, 32)
    outputs = Outputs(torch.zeros(0, NUM_CLASSES), torch.zeros(0, 4))
    assignment = CALLS[name](priors, targets, outputs)
    assert assignment.gt_idxs.shape == assignment.ious.shape == (0,)


@pytest.mark.parametrize("name", CALLS)
def test_objects_in_another_precision(name):
    generator = torch.Generator().manual_seed(0)
    priors = pyramid(64, 64)
    targets = random_targets(generator, [3], 64, 64)
    outputs = random_outputs(generator, priors, targets)
    targets = replace(targets, boxes=targets.boxes.double())
    single = CALLS[name](priors, replace(targets, boxes=targets.boxes.float()), outputs)
    assert CALLS[name](priors, targets, outputs).gt_idxs.tolist() == single.gt_idxs.tolist()


@pytest.mark.parametrize("name", ["fcos", "paa", "simota", "soft_label", "task_aligned"])
def test_points(name):
    generator = torch.Generator().manual_seed(0)
    anchors = pyramid(64, 64)
    points = Priors(points=anchors.points, strides=anchors.strides, level_sizes=anchors.level_sizes)
    targets = random_targets(generator, [3], 64, 64)
    outputs = random_outputs(generator, anchors, targets)
    assert (CALLS[name](points, targets, outputs).gt_idxs >= 0).any()


def test_options_that_are_bound_leave_the_needs():
    generator = torch.Generator().manual_seed(0)
    priors = pyramid(32, 32)
    targets = random_targets(generator, [2], 32, 32)
    bound = ASSIGNERS.get("task_aligned").build(topk=5)
    outputs = random_outputs(generator, priors, targets)
    found = assign(bound, priors, targets, outputs, NUM_CLASSES)
    expected = assigners.task_aligned(priors, targets, outputs, topk=5)
    assert found.gt_idxs.tolist() == expected.gt_idxs.tolist()
    with pytest.raises(ValueError, match="looks at outputs"):
        assign(bound, priors, targets, None, NUM_CLASSES)


@pytest.mark.parametrize("method", [method for _, method in ASSIGNERS], ids=lambda m: m.name)
def test_arguments_are_what_it_looks_at(method):
    assigner = method.build()
    call = getattr(assigner, "forward", assigner)
    parameters = inspect.signature(call).parameters.values()
    expected = ["priors", "targets"] + ["outputs"] * ("outputs" in needs_of(assigner))
    assert [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == expected


@pytest.mark.parametrize(
    ("name", "options"),
    [("atss", {"topk": 0}), ("paa", {"iou_threshold": 2.0}), ("ddod", {"alpha": 1.5})],
)
def test_options_out_of_range(name, options):
    (option,) = options
    with pytest.raises(ValueError, match=option):
        getattr(assigners, name)(None, None, **options)
