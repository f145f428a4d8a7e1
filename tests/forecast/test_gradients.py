"""The gradient of a rule's last layer, against the backward pass of a training."""

import pytest
import torch
from detectron2.utils.events import EventStorage

from imbdet.alignment.layer_gradient import by_class
from imbdet.analysis.frozen_detector import FrozenDetector
from imbdet.data.seeding import seed_sequence, seeded_globals
from imbdet.forecast.gradients import (
    ALL,
    NUM_GROUPS,
    SIZES,
    batches_of,
    update_gradients,
    validation_gradients,
)
from imbdet.forecast.last_layer import look
from imbdet.forecast.rules import Rule
from tests.modeling.conftest import make_batch, small_config

KINDS = ["retinanet", "faster_rcnn", "cascade_rcnn"]
# Samplers that draw would draw after those of the RPN.
ALL_SAMPLES = ["MODEL.SAMPLER.POSITIVE.NAME", "all", "MODEL.SAMPLER.NEGATIVE.NAME", "all"]


def frozen(kind, *opts):
    torch.manual_seed(0)
    return FrozenDetector(small_config(kind, *opts))


def trained_gradient(detector, batch, seed):
    """(C, Q) gradient of a training's own losses by the last layer."""
    model, layer = detector.model.train(), detector.cls_layer
    with EventStorage(), seeded_globals(seed):
        losses = model(batch)
    weight, bias = torch.autograd.grad(sum(losses.values()), [layer.weight, layer.bias])
    model.eval()
    columns = 5 if isinstance(layer, torch.nn.Conv2d) else len(weight)
    return by_class(torch.cat([weight.flatten(1), bias[:, None]], dim=1), columns)


def direction(gradient):
    return gradient / gradient.norm()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keys", [[], ["MODEL.CARL.ENABLED", "True"]], ids=["plain", "carl"])
def test_the_gradient_is_that_of_a_training(kind, keys):
    detector = frozen(kind, *ALL_SAMPLES, *keys)
    batch = make_batch([3, 0])
    found = update_gradients([Rule("own", detector.learner)], detector, [batch], seed=4)["own"]
    assert not found[1:].any()
    expected = trained_gradient(detector, batch, seed_sequence(4, 0))
    torch.testing.assert_close(direction(found[0]), direction(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_detector(kind):
    detector = frozen(kind)
    batch = make_batch([2, 1])
    seen, plain = (
        look(detector, batch, append_gt=False).sight,
        detector.look(batch, append_gt=False),
    )
    torch.testing.assert_close(seen.outputs.logits, plain.outputs.logits)
    assert plain.num_appended == 0
    assert detector.look(batch).num_appended == (0 if kind == "retinanet" else 3)


def test_batches_are_summed_by_group():
    detector = frozen("retinanet")
    detector.learner.normalizer = lambda *_: 1.0  # not one that runs
    rule = Rule("own", detector.learner)
    batches = [make_batch([2], seed=i) for i in range(NUM_GROUPS + 1)]
    found = update_gradients([rule], detector, batches, seed=0)["own"]
    first, last = (
        update_gradients([rule], detector, [batch], seed=0)["own"][0]
        for batch in (batches[0], batches[-1])
    )
    torch.testing.assert_close(found[0], first + last)
    assert all(group.any() for group in found)


def test_every_size_has_a_gradient_of_its_own():
    found = validation_gradients(frozen("retinanet"), [make_batch([3], size=(320, 320))])
    assert list(found) == ["likelihood", "ranking"]
    for parts in found.values():
        assert list(parts) == [ALL, *SIZES]
        assert parts[ALL].shape == (NUM_GROUPS, 5, 3 * (32 * 9 + 1))  # of three anchors
    # Objects have up to 40 pixels: none is large.
    assert not found["ranking"]["large"].any()


def test_only_whole_batches_are_formed():
    images = [[{"image": i}] for i in range(5)]
    assert [[one["image"] for one in batch] for batch in batches_of(images, 2)] == [[0, 1], [2, 3]]
