"""Exact statistics of BatchNorm: that nothing else of a training notices them."""

import itertools
import random

import numpy as np
import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from imbdet.engine.precise_statistics import PreciseStatistics
from imbdet.engine.validation_loss import ValidationLoss
from tests.engine.test_validation_loss import MODELS, make_model, state_of
from tests.modeling.conftest import make_batch

# isort: split
from detectron2.utils.events import EventStorage

NORMS = ("MODEL.RESNETS.NORM", "BN", "MODEL.BACKBONE.FREEZE_AT", 0)


def seed():
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_batch_norm_alone_is_changed(options):
    _, model = make_model(*options, *NORMS)
    norms = [name for name, module in model.named_modules() if isinstance(module, _BatchNorm)]
    seed()
    before = state_of(model)
    seed()
    batches = itertools.repeat(make_batch([3, 1], seed=1))
    PreciseStatistics(0, model, batches, 2).update_stats()
    after = state_of(model)
    changed = {name for name, value in after.items() if not value.equal(before[name])}
    assert changed
    assert {name.rpartition(".")[0] for name in changed} <= set(norms)


@pytest.mark.parametrize("kind", ["retinanet", "faster", "mask"])
def test_no_pictures_are_drawn_of_batches_that_are_none_of_the_training(kind, monkeypatch):
    cfg, model = make_model(kind, *NORMS, "VIS_PERIOD", 1)
    before = {module: getattr(module, "vis_period", None) for module in model.modules()}
    batch = make_batch([3, 1])
    with EventStorage() as storage:
        monkeypatch.setattr(EventStorage, "put_image", lambda *args: pytest.fail("It was drawn."))
        PreciseStatistics(0, model, itertools.repeat(batch), 1).update_stats()
        ValidationLoss(cfg, model, {"a": [batch]})()
        assert not storage.histories()
    assert {module: getattr(module, "vis_period", None) for module in model.modules()} == before
