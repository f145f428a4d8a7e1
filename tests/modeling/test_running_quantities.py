"""Running quantities of criteria: conversions, evaluations and looks leave them as they are."""

import copy

import pytest
import torch

from imbdet.methods import BOX_LOSSES, CLS_LOSSES
from imbdet.modeling import give_class_frequencies, site_keys
from imbdet.modeling.build import build_criterion
from imbdet.ops.buffers import untouched_buffers
from imbdet.structures import Outputs, Samples
from tests.modeling.conftest import FREQUENCIES, NUM_CLASSES, small_config
from tests.weighting.factories import BoxCoder, random_candidates

# isort: split
from detectron2.utils.events import EventStorage

LOSSES = [
    *((name, loss.box_loss) for name, loss in CLS_LOSSES),
    *(("focal", name) for name, _ in BOX_LOSSES),
]


@pytest.fixture(params=LOSSES, ids="-".join)
def criterion(request):
    cls_loss, box_loss = request.param
    keys = ["MODEL.CLS_LOSS.NAME", cls_loss, "MODEL.BOX_LOSS.NAME", box_loss]
    built = build_criterion(small_config("faster_rcnn", *keys), site_keys.ROI_HEADS)
    give_class_frequencies(built, FREQUENCIES)
    return built


def pay(criterion, *seeds):
    """The sum of the losses of some batches, the last of them."""
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(-1, NUM_CLASSES + 5, (2, 40), generator=generator)
        labels = labels.clamp(max=NUM_CLASSES).tolist()
        candidates = random_candidates(labels, num_classes=NUM_CLASSES, seed=seed)
        num_columns = NUM_CLASSES + criterion.classifier.num_extra
        outputs = Outputs(
            torch.randn(len(candidates), num_columns, generator=generator),
            deltas=candidates.outputs.deltas,
            box2box_transform=BoxCoder(),
            classifier=criterion.classifier,
        )
        with EventStorage():
            losses, _ = criterion(Samples(candidates, outputs), float(len(candidates)))
    return sum(losses.values())


def assert_same_buffers(criterion, expected):
    found, expected = dict(criterion.named_buffers()), dict(expected.named_buffers())
    assert found.keys() == expected.keys()
    for name, buffer in found.items():
        assert buffer.dtype == expected[name].dtype, name
        assert buffer.equal(expected[name]), name


@pytest.mark.parametrize("convert", ["half", "bfloat16", "float", "double"])
def test_a_conversion_changes_no_running_quantity(criterion, convert):
    pay(criterion, 0)
    converted = getattr(copy.deepcopy(criterion), convert)()
    assert_same_buffers(converted, criterion)
    assert pay(converted, 1, 2).equal(pay(criterion, 1, 2))
    assert_same_buffers(converted, criterion)


def test_an_evaluation_changes_no_running_quantity(criterion):
    pay(criterion, 0)
    before = copy.deepcopy(criterion)
    pay(criterion.eval(), 1, 2)
    assert_same_buffers(criterion, before)


def test_a_look_changes_no_running_quantity(criterion):
    pay(criterion, 0)
    before, buffers = copy.deepcopy(criterion), dict(criterion.named_buffers())
    with untouched_buffers(criterion):
        pay(criterion, 1, 2)
    assert_same_buffers(criterion, before)
    assert all(buffer is buffers[name] for name, buffer in criterion.named_buffers())
