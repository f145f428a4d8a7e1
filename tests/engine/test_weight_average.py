"""Averages of weights against their definition: in trainings, after a resume, and in files."""

import json
import shutil

import pytest
import torch
from torch import nn

import train_net
from imbdet.engine.checkpoint_file import read_checkpoint
from imbdet.engine.training_evaluation import TrainingEvaluation
from imbdet.engine.weight_average import WeightAverage
from tests.engine.jobs import arguments
from tests.engine.test_best import KEYS, go_back, lines, read, same
from tests.messages import assert_says, error_of

pytestmark = pytest.mark.usefixtures("restored_loggers", "own_datasets")

AVERAGED = {
    **KEYS,
    "TEST.BEST.METRIC": "",
    "MODEL_EMA.ENABLED": True,
    "SOLVER.MAX_ITER": 4,
    "SOLVER.CHECKPOINT_PERIOD": 2,
    "TEST.EVAL_PERIOD": 3,
    # Running quantities.
    "MODEL.CLS_LOSS.NAME": "ghm_c",
    "MODEL.RESNETS.NORM": "BN",
}


def train(folder, *flags, **keys):
    return train_net.main(arguments(folder, *flags, **{**AVERAGED, **keys}))


def learn(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point() and name != "constant":
                value.copy_(torch.randn(value.shape, generator=generator))
    model[0].num_batches_tracked += 1


def make_model():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    model.register_buffer("constant", torch.tensor([0.1, 123.675]))
    return model


@pytest.mark.parametrize("factor", [1.0, 10.0])
def test_is_its_definition(factor):
    model = make_model()
    average = WeightAverage(model, 0.9, factor)
    average.begin()
    expected = {name: value.double().clone() for name, value in model.state_dict().items()}
    for n in range(1, 200):
        learn(model, n)
        average.update()
        decay = min(0.9, (1 + n) / (factor + n))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * value.double()
    for name, value in average.weights().items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-4, atol=1e-6)
    assert average.weights()["constant"].equal(model.constant)
    assert average.weights()["0.num_batches_tracked"] == 199


def test_the_model_has_its_own_weights_again_also_after_an_error():
    model = make_model()
    average = WeightAverage(model, 0.5, 1.0)
    average.begin()
    own = {name: value.clone() for name, value in model.state_dict().items()}
    learn(model, 0)
    learnt = {name: value.clone() for name, value in model.state_dict().items()}

    def look_and_fail():
        with average.applied():
            assert all(value.equal(own[name]) for name, value in model.state_dict().items())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look_and_fail()
    assert all(value.equal(learnt[name]) for name, value in model.state_dict().items())


def test_another_model_is_refused():
    average = WeightAverage(make_model(), 0.5, 1.0)
    other = WeightAverage(nn.Linear(2, 2), 0.5, 1.0)
    other.begin()
    assert_says(error_of(average.load_state_dict, other.state_dict()), "'constant' does not fit")
    assert_says(error_of(average.load_state_dict, {"num_updates": 1}), "ema_state.model")


def test_averages_are_evaluated_kept_and_resumed(tmp_path):
    whole, parts, plain = tmp_path / "whole", tmp_path / "parts", tmp_path / "plain"
    best = {"TEST.BEST.METRIC": "bbox_EMA/AR@100"}
    assert train(whole, **best) == 0
    averages = read(whole, "model_final")["ema_state"]
    assert averages["num_updates"] == 4
    final = read(whole, "model_final_ema")
    assert all(value.equal(averages["model"][name]) for name, value in final["model"].items())
    assert not same(final, read(whole, "model_final"))
    logged = {k: v for line in (whole / "metrics.json").open() for k, v in json.loads(line).items()}
    assert {"bbox/AP", "bbox_EMA/AP"} <= logged.keys()
    assert read(whole, "model_best")["best"]["metric"] == "bbox_EMA/AR@100"

    # The weights that are evaluated are those that are kept.
    again = tmp_path / "again"
    weights = {"MODEL.WEIGHTS": str(whole / "model_final_ema.pth")}
    assert train(again, "--eval-only", **weights) == 0
    first, second = (
        (folder / "shapes_val" / "metrics.json").read_text()
        for folder in (whole / "inference_EMA", again / "inference")
    )
    assert first == second

    shutil.copytree(whole, parts)
    (parts / "model_final_ema.pth").unlink()
    go_back(parts, "model_0000001")
    assert train(parts, "--resume", **best) == 0
    assert same(read(parts, "model_final_ema"), final)
    assert same(read(parts, "model_final"), read(whole, "model_final"))
    assert lines(parts) == lines(whole)

    # Without averages everything else is the same.
    assert train(plain, **{"MODEL_EMA.ENABLED": False}) == 0
    assert same(read(plain, "model_final"), read(whole, "model_final"))
    assert "ema_state" not in read(plain, "model_final")
    assert not (plain / "model_final_ema.pth").exists()


def test_the_best_averages_are_kept(tmp_path, monkeypatch):
    values = iter([1.0, 3.0, 2.0])
    monkeypatch.setattr(TrainingEvaluation, "evaluate", lambda _: {"bbox_EMA/AP": next(values)})
    keys = {"TEST.BEST.METRIC": "bbox_EMA/AP", "TEST.EVAL_PERIOD": 1}
    assert train(tmp_path, **keys, **{"SOLVER.MAX_ITER": 3, "SOLVER.CHECKPOINT_PERIOD": 1}) == 0
    kept, then, later = (
        read(tmp_path, name) for name in ("model_best", "model_0000001", "model_0000002")
    )
    assert kept["best"] == {"metric": "bbox_EMA/AP", "value": 3.0}
    assert kept["iteration"] == then["iteration"] == 1
    assert same(kept, then["ema_state"])
    assert not same(kept, then)
    assert not same(kept, later["ema_state"])


def test_averages_may_begin_later(tmp_path, capsys):
    assert train(tmp_path, **{"MODEL_EMA.ENABLED": False, "SOLVER.MAX_ITER": 2}) == 0
    assert train(tmp_path, "--resume") == 0
    assert "no averages of weights: they begin after 2 iterations" in capsys.readouterr().out
    assert read(tmp_path, "model_final")["ema_state"]["num_updates"] == 2


def test_each_process_goes_on_with_its_own_averages(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    keys = {"SOLVER.IMS_PER_BATCH": 4, "DATASETS.TEST": "()", "TEST.EVAL_PERIOD": 0}
    assert train(whole, "--num-processes", "2", **keys) == 0
    shutil.copytree(whole, parts)
    go_back(parts, "model_0000001")
    assert train(parts, "--num-processes", "2", "--resume", **keys) == 0
    first, second = (read(folder, "model_final") for folder in (whole, parts))
    assert all(
        v.equal(second["ema_state"]["model"][n]) for n, v in first["ema_state"]["model"].items()
    )
    others = [state["trainer"]["processes"][1]["buffers"] for state in (first, second)]
    assert any(name.startswith("ema_state.") for name in others[0])
    assert all(value.equal(others[1][name]) for name, value in others[0].items())


def test_a_checkpoint_with_averages_is_read_safely(tmp_path):
    keys = {"DATASETS.TEST": "()", "TEST.EVAL_PERIOD": 0, "SOLVER.MAX_ITER": 1}
    assert train(tmp_path, **keys) == 0
    state = read_checkpoint(str(tmp_path / "model_final.pth"))
    name = next(iter(state["ema_state"]["model"]))
    state["ema_state"]["model"][name] = torch.zeros(1)
    torch.save(state, tmp_path / "model_final.pth")
    assert train(tmp_path, "--resume", **keys | {"SOLVER.MAX_ITER": 2}) == 2
