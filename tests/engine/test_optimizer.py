"""Every optimizer has detectron2's groups of parameters and its clipping."""

import pytest
import torch
from detectron2 import solver
from torch import nn

from imbdet.config import load_config
from imbdet.engine.optimizer import OPTIMIZERS, build_optimizer

BOTH = pytest.mark.parametrize("name", OPTIMIZERS)


def make_config(name, **keys):
    keys = {"OPTIMIZER": name, "BASE_LR": 0.5, "WEIGHT_DECAY": 0.25, **keys}
    return load_config(
        opts=[x for key, value in keys.items() for x in (f"SOLVER.{key}", str(value))]
    )


def settings_of(optimizer, model):
    """Rate and decay of each parameter by its name."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[parameter]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


@BOTH
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"WEIGHT_DECAY_NORM": 0.125},
        {"BIAS_LR_FACTOR": 3.0},
        {"WEIGHT_DECAY_BIAS": 0.0625},
        {"WEIGHT_DECAY_NORM": 0.125, "BIAS_LR_FACTOR": 3.0, "WEIGHT_DECAY_BIAS": 0.0625},
    ],
    ids=str,
)
def test_rates_and_decays_are_those_of_detectron2(name, keys):
    cfg = make_config(name, **keys)
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    optimizer = build_optimizer(cfg, model)
    expected = solver.build_optimizer(cfg, model)
    assert isinstance(optimizer, getattr(torch.optim, name))
    assert settings_of(optimizer, model) == settings_of(expected, model)
    # The keys have an effect here.
    assert settings_of(optimizer, model)["1.weight"][1] == keys.get("WEIGHT_DECAY_NORM", 0.0)
    assert settings_of(optimizer, model)["0.bias"][0] == 0.5 * keys.get("BIAS_LR_FACTOR", 1.0)


@BOTH
@pytest.mark.parametrize(("kind", "clipped"), [("value", [1.0, 1.0]), ("norm", [0.6, 0.8])])
def test_a_huge_gradient_is_clipped(name, kind, clipped):
    clipping = {"CLIP_GRADIENTS.ENABLED": True, "CLIP_GRADIENTS.CLIP_TYPE": kind}
    cfg = make_config(name, **clipping)
    model = nn.Linear(2, 1, bias=False)
    optimizer = build_optimizer(cfg, model)
    before = model.weight.detach().clone()
    model.weight.grad = torch.tensor([[3e8, 4e8]])
    optimizer.step()
    (state,) = optimizer.state.values()
    decay = 0.25 * before
    if name == "SGD":
        learnt = state["momentum_buffer"] - decay
    else:  # the running mean of gradients after one step
        learnt = state["exp_avg"] / (1 - optimizer.defaults["betas"][0])
    torch.testing.assert_close(learnt, torch.tensor([clipped]))


@BOTH
def test_gradients_are_as_they_are_without_clipping(name):
    model = nn.Linear(2, 1, bias=False)
    optimizer = build_optimizer(make_config(name), model)
    model.weight.grad = torch.tensor([[3e8, 4e8]])
    optimizer.step()
    assert model.weight.grad.tolist() == [[3e8, 4e8]]
