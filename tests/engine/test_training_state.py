"""States that a training goes on from with another config."""

import pytest
import torch

import train_net
from imbdet.config import load_config
from imbdet.engine.trainer import Trainer
from tests.engine.jobs import arguments

pytestmark = pytest.mark.usefixtures("restored_loggers", "own_datasets")


def make_trainer(folder, **keys):
    _, config, *opts = arguments(folder, **keys)
    return Trainer(load_config(config, opts=opts))


def test_mixed_precision_may_begin_and_end_when_a_run_goes_on(tmp_path):
    keys = {"SOLVER.MAX_ITER": 1, "DATASETS.TEST": "()", "MODEL.DEVICE": "cpu"}
    assert train_net.main(arguments(tmp_path, **keys)) == 0
    state = torch.load(tmp_path / "model_final.pth", weights_only=True)["trainer"]
    begins = make_trainer(tmp_path, **keys, **{"SOLVER.AMP.ENABLED": True})
    begins.load_state_dict(state)
    scaler = begins._trainer.grad_scaler.state_dict()
    state["_trainer"]["grad_scaler"] = scaler
    ends = make_trainer(tmp_path, **keys)
    ends.load_state_dict(state)
    assert begins.scheduler.last_epoch == ends.scheduler.last_epoch == 1
