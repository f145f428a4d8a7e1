"""Losses of half-precision predictions with a scaler, as with SOLVER.AMP.ENABLED on a GPU.

Detectron2's trainer computes losses under autocast, scales their sum by 65,536 and divides the
gradients of the float32 weights by that before its step.
"""

import copy

import pytest
import torch

from imbdet.learning.criteria import Criterion
from imbdet.methods import BOX_LOSSES, CLS_LOSSES
from imbdet.modeling import give_class_frequencies, site_keys
from imbdet.modeling.build import build_criterion
from imbdet.structures import Outputs, Samples
from tests.modeling.conftest import FREQUENCIES, NUM_CLASSES, small_config
from tests.weighting.factories import random_candidates

# isort: split
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.utils.events import EventStorage

SCALE = 2.0**16
KEYS = [
    *(
        ["MODEL.CLS_LOSS.NAME", name, "MODEL.BOX_LOSS.NAME", loss.box_loss]
        for name, loss in CLS_LOSSES
    ),
    *(["MODEL.CLS_LOSS.NAME", "focal", "MODEL.BOX_LOSS.NAME", name] for name, _ in BOX_LOSSES),
    ["MODEL.CARL.ENABLED", "True", "MODEL.WEIGHTING.NAMES", "['isr_p']"],
    ["MODEL.CLS_LOSS.GUIDED_SCALE", "True"],
]


def train(criterion: Criterion, predictions, candidates, *, amp):
    """Losses, and gradients of float32 weights whose values the predictions are."""
    weights = [x.clone().requires_grad_() for x in predictions]
    optimizer = torch.optim.SGD(weights, lr=1.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=SCALE, enabled=amp)
    with torch.autocast("cpu", dtype=torch.float16, enabled=amp), EventStorage():
        logits, deltas = (x.half() if amp else x for x in weights)
        outputs = Outputs(
            logits,
            deltas=deltas,
            box2box_transform=Box2BoxTransform((10.0, 10.0, 5.0, 5.0)),
            classifier=criterion.classifier,
        )
        losses, _ = criterion(Samples(candidates, outputs), float(len(candidates)))
        total = sum(losses.values())
    scaler.scale(total).backward()
    scaler.unscale_(optimizer)
    return losses, [x.grad for x in weights]


@pytest.mark.parametrize("spread", [1.0, 30.0])
@pytest.mark.parametrize("keys", KEYS, ids=lambda keys: "-".join(keys[1::2]))
def test_gradients_are_those_of_full_precision(keys, spread):
    criterion = build_criterion(small_config("faster_rcnn", *keys), site_keys.ROI_HEADS)
    give_class_frequencies(criterion, FREQUENCIES)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(-1, NUM_CLASSES + 5, (2, 40), generator=generator).clamp(max=NUM_CLASSES)
    candidates = random_candidates(rows.tolist(), num_classes=NUM_CLASSES)
    num_columns = NUM_CLASSES + criterion.classifier.num_extra
    logits = spread * torch.randn(len(candidates), num_columns, generator=generator) - 2
    deltas = torch.randn(len(candidates), 4 * NUM_CLASSES, generator=generator)
    predictions = [x.half().float() for x in (logits, deltas)]

    # Some keep running quantities or draw, so that both start with the same.
    results = [
        train(copy.deepcopy(criterion), predictions, candidates, amp=a) for a in (True, False)
    ]
    (losses, grads), (expected, expected_grads) = results
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, expected[name], rtol=1e-4, atol=1e-6, msg=name)
    digit = torch.finfo(torch.float16).eps
    # Logits in two losses have two gradients, which are rounded before they add up or cancel.
    of_largest = digit if "MODEL.CARL.ENABLED" in keys else 1e-5
    for grad, expected_grad in zip(grads, expected_grads, strict=True):
        assert expected_grad.any()
        atol = of_largest * float(expected_grad.abs().max())
        torch.testing.assert_close(grad, expected_grad, rtol=2 * digit, atol=atol)
