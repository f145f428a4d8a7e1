"""Trainings that keep their best weights and end early, also after a resume."""

import json
import math
import os
import shutil
import signal
import time

import pytest
import torch

import train_net
from imbdet.engine import checkpoint_writer
from imbdet.engine.checkpoint_file import read_checkpoint, write_sealed
from imbdet.engine.evaluation_hook import Evaluation
from imbdet.engine.training_evaluation import TrainingEvaluation
from imbdet.errors import UserError
from tests.engine.jobs import arguments
from tests.messages import assert_says

pytestmark = pytest.mark.usefixtures("restored_loggers", "own_datasets")

KEYS = {
    "MODEL.FPN.OUT_CHANNELS": 16,
    "MODEL.RETINANET.NUM_CONVS": 1,
    "SOLVER.MAX_ITER": 8,
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.CHECKPOINT_PERIOD": 3,
    "TEST.EVAL_PERIOD": 1,
    "TEST.BEST.METRIC": "bbox/AP",
    "SEED": 1,
}
# Values by the iterations done: a tie, NaN, and the best one between two checkpoints.
VALUES = {1: math.nan, 2: 10.0, 3: 10.0, 4: 12.0, 5: 15.0, 6: 14.0, 7: 15.0, 8: 15.0}


@pytest.fixture
def evaluated(monkeypatch):
    """Evaluations give VALUES; the list has the iterations done at each, by this process."""
    trainers, evaluated = [], []
    do_eval = Evaluation._do_eval

    def remember(self):
        trainers.append(self.trainer)
        do_eval(self)

    def evaluate(self):
        evaluated.append(min(trainers[-1].iter + 1, trainers[-1].max_iter))
        return {"bbox/AP": VALUES[evaluated[-1]], "bbox/AR": 0.0}

    monkeypatch.setattr(Evaluation, "_do_eval", remember)
    monkeypatch.setattr(TrainingEvaluation, "evaluate", evaluate)
    return evaluated


def train(folder, *flags, **keys):
    return train_net.main(arguments(folder, *flags, **{**KEYS, **keys}))


def read(folder, name):
    return read_checkpoint(str(folder / f"{name}.pth"))


def same(first, second):
    return all(torch.equal(value, second["model"][name]) for name, value in first["model"].items())


def lines(folder):
    """The lines that were logged, without times."""
    clocks = {"time", "data_time", "rank_data_time", "eta_seconds"}
    logged = map(json.loads, (folder / "metrics.json").read_text().splitlines())
    return [str({k: v for k, v in line.items() if k not in clocks}) for line in logged]


def go_back(folder, name):
    """Leave a folder as after a kill: an earlier checkpoint beside the file of the best."""
    for path in folder.glob("model_*.pth"):
        if path.stem not in (name, "model_best"):
            path.unlink()
    (folder / "last_checkpoint").write_text(f"{name}.pth")


def test_the_best_weights_are_kept_and_resumed(evaluated, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(whole, **{"SOLVER.CHECKPOINT_PERIOD": 1}) == 0
    best = read(whole, "model_best")
    assert best["best"] == {"metric": "bbox/AP", "value": 15.0}
    assert best["iteration"] == 4
    assert best["data"]["classes"]
    assert same(best, read(whole, "model_0000004"))
    assert not same(best, read(whole, "model_0000006"))
    assert (whole / "last_checkpoint").read_text() == "model_final.pth"
    told = json.loads((whole / "best.json").read_text())
    assert (told["value"], told["iteration"], told["num_without_gain"]) == (15.0, 5, 3)

    for name in ("model_0000002", "model_0000004"):
        shutil.copytree(whole, parts)
        go_back(parts, name)
        assert train(parts, "--resume", **{"SOLVER.CHECKPOINT_PERIOD": 1}) == 0
        resumed = read(parts, "model_best")
        assert resumed["iteration"] == 4
        assert same(resumed, best)
        assert lines(parts) == lines(whole)
        state = read(parts, "model_final")["trainer"]["hooks"]["BestKeeper"]
        assert str(state) == str(read(whole, "model_final")["trainer"]["hooks"]["BestKeeper"])
        assert "WARNING: imbdet" not in (parts / "log.txt").read_text()
        shutil.rmtree(parts)


def test_a_training_ends_early_as_one_that_is_over(evaluated, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    keys = {"TEST.BEST.PATIENCE": 2, "RECORD.PERIOD": 1, "LEDGER.ENABLED": True}
    assert train(whole, **keys) == 0
    assert evaluated == [1, 2, 3, 4, 5, 6, 7]  # none twice
    assert_says(
        (whole / "log.txt").read_text(),
        "stops early, after 7 of 8 iterations: bbox/AP did not get better by more than 0.0 in 2 "
        "evaluations; the best one is 15.000, after 5 iterations",
    )
    final = read(whole, "model_final")
    assert final["iteration"] == 6
    assert (whole / "last_checkpoint").read_text() == "model_final.pth"
    assert (whole / "ledger" / "objects.parquet").exists()

    shutil.copytree(whole, parts)
    go_back(parts, "model_0000002")
    assert train(parts, "--resume", **keys) == 0
    assert same(read(parts, "model_final"), final)
    assert lines(parts) == lines(whole)

    # Once more: nothing but what follows, and nothing is lost.
    records = sorted(path.name for path in (whole / "records").rglob("*"))
    before = lines(whole)
    evaluated.clear()
    assert train(whole, "--resume", **keys) == 0
    assert evaluated == [7]
    assert (whole / "log.txt").read_text().count("stops early, after 7 of 8") == 2
    assert lines(whole) == before
    assert same(read(whole, "model_final"), final)
    assert sorted(path.name for path in (whole / "records").rglob("*")) == records

    # With more patience it goes on as if it had never ended.
    patient = tmp_path / "patient"
    assert train(patient, **keys | {"TEST.BEST.PATIENCE": 9}) == 0
    assert train(whole, "--resume", **keys | {"TEST.BEST.PATIENCE": 9}) == 0
    assert same(read(whole, "model_final"), read(patient, "model_final"))
    assert read(whole, "model_final")["iteration"] == 7
    assert lines(whole) == lines(patient)


def test_two_processes_end_together(evaluated, tmp_path):
    keys = {"TEST.BEST.PATIENCE": 2, "SOLVER.IMS_PER_BATCH": 4}
    assert train(tmp_path, "--num-processes", "2", **keys) == 0
    assert read(tmp_path, "model_final")["iteration"] == 6
    assert read(tmp_path, "model_best")["iteration"] == 4


def test_a_training_is_the_same_with_the_best_kept_and_without(tmp_path):
    states = []
    for metric in ("bbox/AP", ""):
        keys = {"TEST.BEST.METRIC": metric, "TEST.EVAL_PERIOD": 1, "SOLVER.MAX_ITER": 2}
        assert train(tmp_path / metric[:4], **keys) == 0
        states.append(read(tmp_path / metric[:4], "model_final"))
    assert same(*states)


def test_a_signal_in_the_last_evaluation_is_heard(evaluated, tmp_path, monkeypatch):
    evaluate = TrainingEvaluation.evaluate

    def press(self):
        metrics = evaluate(self)
        if evaluated[-1] == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return metrics

    keys = {"TEST.BEST.PATIENCE": 2}
    with monkeypatch.context() as patch:
        patch.setattr(TrainingEvaluation, "evaluate", press)
        assert train(tmp_path, **keys) == 143
    assert read(tmp_path, "model_final")["iteration"] == 6
    assert train(tmp_path, "--resume", **keys) == 0


@pytest.mark.parametrize("period", [3, 6])  # with an evaluation before that at the stop, or none
def test_the_best_of_an_evaluation_between_periods_stays(period, evaluated, tmp_path):
    keys = {"TEST.EVAL_PERIOD": period}
    assert train(tmp_path, "--until", "5", **keys) == 0
    best = read(tmp_path, "model_best")
    assert best["iteration"] == 4
    evaluated.clear()
    assert train(tmp_path, "--resume", **keys) == 0
    assert evaluated == [6, 8]
    assert same(read(tmp_path, "model_best"), best)
    told = json.loads((tmp_path / "best.json").read_text())
    assert (told["value"], told["iteration"]) == (15.0, 5)
    assert "WARNING: imbdet" not in (tmp_path / "log.txt").read_text()


def test_a_lost_file_is_told_and_made_again(evaluated, tmp_path, capsys):
    assert train(tmp_path, **{"SOLVER.MAX_ITER": 6}) == 0
    (tmp_path / "model_best.pth").unlink()
    assert train(tmp_path, "--resume", **{"SOLVER.MAX_ITER": 7}) == 0
    assert_says(capsys.readouterr().out, "model_best.pth' is missing or damaged", "after 5")
    assert read(tmp_path, "model_best")["iteration"] == 6  # also 15.0, and the first that is left
    assert train(tmp_path, "--resume", **{"TEST.BEST.METRIC": "bbox/AR@1"}) == 2
    assert_says(capsys.readouterr().out, "was judged by 'bbox/AP'")


def test_the_best_of_the_last_evaluation_is_waited_for(evaluated, tmp_path, monkeypatch):
    def write(path, content):
        if path.stem == "model_best":
            time.sleep(1)
        write_sealed(path, content)

    monkeypatch.setattr(checkpoint_writer, "write_sealed", write)
    assert train(tmp_path, **{"SOLVER.MAX_ITER": 5}) == 0
    assert read(tmp_path, "model_best")["iteration"] == 4


def test_the_best_of_the_last_evaluation_is_not_lost_silently(
    evaluated, tmp_path, monkeypatch, capsys
):
    def write(path, content):
        if path.stem == "model_best" and evaluated[-1] == 5:
            raise UserError(f"'{path}' cannot be written: No space left on device.")
        write_sealed(path, content)

    monkeypatch.setattr(checkpoint_writer, "write_sealed", write)
    assert train(tmp_path, **{"SOLVER.MAX_ITER": 5}) == 2
    assert_says(capsys.readouterr().err, "model_best.pth' cannot be written: No space left")


def test_best_weights_are_evaluated_by_their_name(tmp_path):
    keys = {"TEST.EVAL_PERIOD": 2, "SOLVER.MAX_ITER": 2}
    assert train(tmp_path, **keys) == 0
    again = tmp_path / "again"
    weights = {"MODEL.WEIGHTS": str(tmp_path / "model_best.pth")}
    assert train(again, "--eval-only", **keys, **weights) == 0
    metrics = (folder / "inference" / "shapes_val" / "metrics.json" for folder in (tmp_path, again))
    assert len({path.read_text() for path in metrics}) == 1


BAD = {
    "unknown": ({"TEST.BEST.METRIC": "bbox/APx"}, "Did you mean 'bbox/AP"),
    "of another set": ({"TEST.BEST.METRIC": "segm/AP"}, "There are: bbox/AP, "),
    "no evaluations": ({"TEST.EVAL_PERIOD": 0}, "TEST.EVAL_PERIOD is 0: set"),
    "no data": ({"DATASETS.TEST": "()"}, "DATASETS.TEST is empty"),
    "patience alone": ({"TEST.BEST.METRIC": "", "TEST.BEST.PATIENCE": 2}, "METRIC is empty"),
    "negative": ({"TEST.BEST.MIN_DELTA": -1.0}, "TEST.BEST.MIN_DELTA is -1.0"),
}


@pytest.mark.parametrize(("keys", "words"), BAD.values(), ids=BAD)
def test_bad_keys_are_told_at_the_start(keys, words, tmp_path, capsys):
    assert train(tmp_path, **keys) == 2
    error = capsys.readouterr().err
    assert_says(error, "TEST.BEST.", words)
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("*.pth"))
