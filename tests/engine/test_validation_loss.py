"""Losses on test sets have the right values, and do not change a training."""

import json
import random

import numpy as np
import pytest
import torch
from torch import nn

import train_net
from imbdet.data.validation import share_batches
from imbdet.engine.validation_loss import ValidationLoss
from imbdet.modeling import build_model, give_class_frequencies
from tests.engine.jobs import arguments
from tests.engine.test_best import KEYS, read
from tests.modeling.conftest import FREQUENCIES, make_batch, small_config

# isort: split
from detectron2.utils.events import EventStorage

pytestmark = pytest.mark.usefixtures("restored_loggers", "own_datasets")

RUNS = {
    **KEYS,
    "TEST.BEST.METRIC": "validation/total_loss",
    "TEST.VALIDATION_LOSS": True,
    "SOLVER.MAX_ITER": 3,
}


@pytest.fixture(autouse=True)
def _iteration():
    with EventStorage(100_000):  # at which losses that change with the iterations have changed
        yield


def train(folder, *flags, **keys):
    return train_net.main(arguments(folder, *flags, **{**RUNS, **keys}))


# Kinds with random draws, running quantities of losses, normalizers and assigners, and BatchNorm.
MODELS = {
    "ghm": ("retinanet", "MODEL.CLS_LOSS.NAME", "ghm_c", "MODEL.BOX_LOSS.NAME", "ghm_r"),
    "eqlv2": ("faster", "MODEL.CLS_LOSS.NAME", "eqlv2", "MODEL.RESNETS.NORM", "BN"),
    "seesaw": ("cascade", "MODEL.CLS_LOSS.NAME", "seesaw"),
    "dynamic": ("faster", "MODEL.ASSIGNER.NAME", "dynamic_iou"),
    "drawn": ("retinanet", "MODEL.SAMPLER.NEGATIVE.NAME", "random"),
}


def make_model(kind, *opts):
    cfg = small_config(kind, *opts)
    torch.manual_seed(0)
    model = build_model(cfg).train()
    give_class_frequencies(model, FREQUENCIES)
    return cfg, model


def state_of(model):
    return {
        **{name: value.clone() for name, value in model.state_dict().items()},
        "random": torch.tensor([random.random(), np.random.rand(), torch.rand(1).item()]),
        "modes": torch.tensor([module.training for module in model.modules()]),
    }


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_nothing_is_changed_and_the_order_does_not_matter(options):
    cfg, model = make_model(*options)
    torch.manual_seed(1)
    batches = [make_batch([3, 1], seed=1), make_batch([2], seed=2)]
    states = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    before = state_of(model)
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    with EventStorage() as storage:
        (found,) = ValidationLoss(cfg, model, {"a": batches})().values()
        assert not storage.histories()
    assert all(value.equal(before[name]) for name, value in state_of(model).items())
    assert found["total_loss"] == pytest.approx(sum(found.values()) / 2)
    (again,) = ValidationLoss(cfg, model, {"a": batches})().values()
    assert again == found
    alone = [ValidationLoss(cfg, model, {"a": [batch]})()["validation"] for batch in batches]
    if options != MODELS["drawn"] and options[0] == "retinanet":  # it draws nothing
        for name, value in found.items():
            assert value == pytest.approx((2 * alone[0][name] + alone[1][name]) / 3)


@pytest.mark.parametrize("box_loss", ["l1", "decayed_smooth_l1"])  # that of the iteration
def test_is_the_loss_of_training_with_running_statistics_of_batch_norm(box_loss):
    keys = ("MODEL.RESNETS.NORM", "BN", "MODEL.BOX_LOSS.NAME", box_loss)
    cfg, model = make_model("retinanet", *keys)
    batch = make_batch([3, 1])
    model.backbone.eval()
    normalizer = model.loss_normalizer.clone() if hasattr(model, "loss_normalizer") else None
    with torch.no_grad():
        expected = {name: float(loss) for name, loss in model(batch).items()}
    if normalizer is not None:
        model.loss_normalizer.copy_(normalizer)
    found = ValidationLoss(cfg, model, {"a": [batch]})()["validation"]
    assert found == expected | {"total_loss": pytest.approx(sum(expected.values()))}


class Diverged(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Identity()

    def forward(self, batch):
        if len(batch) == 2:
            raise FloatingPointError("Predicted boxes have diverged")
        return {"loss_cls": torch.tensor(1.0)}


def test_what_is_not_finite_is_nan_and_told(caplog):
    cfg = small_config("retinanet")
    losses = ValidationLoss(cfg, Diverged(), {"a": [[{}], [{}, {}]], "b": [[{}]]})()
    assert np.isnan(losses["a"]["validation"]["total_loss"])
    assert losses["b"]["validation"] == {"loss_cls": 1.0, "total_loss": 1.0}
    assert "have diverged" in caplog.text


@pytest.mark.parametrize("num_processes", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 4])
@pytest.mark.parametrize("num_images", [3, 4, 7, 12, 13])
def test_processes_share_all_images_in_equally_many_batches(num_images, batch_size, num_processes):
    parts = [share_batches(num_images, batch_size, r, num_processes) for r in range(num_processes)]
    assert len({len(part) for part in parts}) == 1
    sizes = {len(batch) for part in parts for batch in part}
    assert min(sizes) >= 1
    assert max(sizes) <= max(batch_size, 2)
    seen = sorted(image for part in parts for batch in part for image in batch)
    assert seen == list(range(num_images))


def test_a_training_does_not_notice(tmp_path):
    states, records = [], []
    keys = {"RECORD.PERIOD": 1, "LEDGER.ENABLED": True, "MODEL.CLS_LOSS.NAME": "ghm_c"}
    keys |= {"MODEL.SAMPLER.NEGATIVE.NAME": "random", "MODEL.RESNETS.NORM": "BN"}
    for is_on in (True, False):
        folder = tmp_path / str(is_on)
        metric = RUNS["TEST.BEST.METRIC"] if is_on else "bbox/AP"
        keys |= {"TEST.VALIDATION_LOSS": is_on, "TEST.BEST.METRIC": metric}
        assert train(folder, **keys) == 0
        states.append(read(folder, "model_final"))
        parts = sorted(path for path in (folder / "records").rglob("*") if path.is_file())
        ledger = sorted((folder / "ledger").iterdir())
        records.append([path.read_bytes() for path in (*parts, *ledger)])
    on, off = states
    assert all(value.equal(off["model"][name]) for name, value in on["model"].items())
    random_states = [state["trainer"]["processes"][0]["random"] for state in states]
    assert str(random_states[0]) == str(random_states[1])
    assert records[0] == records[1]
    log = [json.loads(line) for line in (tmp_path / "True" / "metrics.json").open()]
    curve = [line["validation/total_loss"] for line in log if "validation/total_loss" in line]
    assert len(curve) == 2  # the last value between two lines, as of each scalar
    assert read(tmp_path / "True", "model_best")["best"]["value"] <= min(curve)


def test_classes_that_the_data_lack_have_no_weight(tmp_path):
    """NUM_CLASSES above the number of classes is a warning alone."""
    keys = {"MODEL.RETINANET.NUM_CLASSES": 5, "MODEL.CLASS_WEIGHTS": "inverse"}
    assert train(tmp_path, **keys, **{"SOLVER.MAX_ITER": 1}) == 0
    assert "validation/loss_cls" in (tmp_path / "metrics.json").read_text()


def test_two_processes_have_the_same_losses(tmp_path):
    keys = {"SOLVER.IMS_PER_BATCH": 4, "SOLVER.MAX_ITER": 1, "MODEL.CLS_LOSS.SCOPE": "global"}
    assert train(tmp_path, "--num-processes", "2", **keys) == 0
    assert "validation/loss_cls" in (tmp_path / "metrics.json").read_text()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"DATASETS.TEST": "()", "TEST.BEST.METRIC": ""}, "DATASETS.TEST is empty"),
        ({"TEST.VALIDATION_LOSS": False}, "which the evaluations do not give"),
    ],
)
def test_bad_keys_are_told_at_the_start(keys, words, tmp_path, capsys):
    assert train(tmp_path, **keys) == 2
    assert words in capsys.readouterr().err
