"""Schedules of learning rates that never come to the rate that the config asks for."""

import pytest
import torch

from imbdet.config import load_config
from imbdet.config_files.addresses import configs_folder
from imbdet.engine.schedule import build_schedule
from tests.messages import assert_says


def rates(cfg):
    """Of each iteration."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=cfg.SOLVER.BASE_LR)
    schedule = build_schedule(cfg, optimizer)
    for _ in range(cfg.SOLVER.MAX_ITER):
        yield optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()


SCHEDULES = {
    "behind the first step": ({"WARMUP_ITERS": 70, "STEPS": (60, 80)}, True),
    "at the first step": ({"WARMUP_ITERS": 60, "STEPS": (60, 80)}, True),
    "as long as the training": ({"WARMUP_ITERS": 1000, "STEPS": (60, 80)}, True),
    "before the first step": ({"WARMUP_ITERS": 59, "STEPS": (60, 80)}, False),
    "of a short training without steps": ({"WARMUP_ITERS": 1000, "STEPS": ()}, False),
    "of a short training before its steps": ({"WARMUP_ITERS": 1000, "STEPS": (200,)}, False),
    "none": ({"WARMUP_ITERS": 0, "STEPS": (60, 80)}, False),
    "of a cosine, as long": ({"WARMUP_ITERS": 1000, "LR_SCHEDULER_NAME": "WarmupCosineLR"}, True),
    "of a cosine": ({"WARMUP_ITERS": 10, "LR_SCHEDULER_NAME": "WarmupCosineLR"}, False),
}


@pytest.mark.parametrize(("keys", "is_too_long"), SCHEDULES.values(), ids=SCHEDULES)
def test_a_warm_up_that_reaches_into_lowered_rates_is_warned_of(keys, is_too_long, caplog):
    keys = {"BASE_LR": 0.1, "MAX_ITER": 100, "STEPS": (), **keys}
    cfg = load_config(opts=[str(x) for k, v in keys.items() for x in (f"SOLVER.{k}", v)])
    assert (max(rates(cfg)) < 0.05) == is_too_long
    assert ("WARNING" in caplog.text) == is_too_long
    if is_too_long:
        assert_says(caplog.text, f"SOLVER.WARMUP_ITERS is {keys['WARMUP_ITERS']}", "never exceeds")


def test_no_config_of_a_training_is_warned_of(caplog):
    paths = [path for path in configs_folder().glob("*/*.yaml") if "Base-" not in path.name]
    assert paths
    for path in paths:
        next(rates(load_config(str(path))))
    assert "WARNING" not in caplog.text
