"""benchmarks/iteration.py: turns, and mixed precision that is Detectron2's, with a scaler."""

import pytest
import torch

from tests.test_configs import CONFIGS


@pytest.fixture
def iteration(monkeypatch):
    monkeypatch.syspath_prepend(str(CONFIGS.parent / "benchmarks"))
    import iteration

    return iteration


def test_detectors_in_mixed_precision_are_measured_beside_each_other(iteration, monkeypatch):
    from launches import SMALL

    monkeypatch.setattr(iteration, "SPEEDS", ["channels last"])  # compiling takes a minute
    options = ["--size", "64", "64", "--pairs", "1", "--opts", *SMALL]
    monkeypatch.setattr("sys.argv", ["iteration.py", *options])
    args = iteration.parse_args()
    trainings = []
    build = iteration.build

    def kept(*args, **kwargs):
        trainings.append(build(*args, **kwargs))
        return trainings[-1]

    monkeypatch.setattr(iteration, "build", kept)
    rows = iteration.time_amp(args)
    assert [row["method"] for row in rows] == ["channels last", "SOLVER.AMP"]
    assert all(0 < row["low"] <= row["ratio"] <= row["high"] for row in rows)
    assert [training.scaler.is_enabled() for training in trainings] == [False, True, True]

    batch = next(iteration.batches(args))
    full, ours, detectron2 = (training.forward(batch, seed=0) for training in trainings)
    factors = [training.scaler.get_scale() for training in (trainings[1], trainings[2])]
    torch.testing.assert_close(ours / factors[0], full, rtol=0.05, atol=0)
    torch.testing.assert_close(detectron2 / factors[1], full, rtol=0.05, atol=0)


def test_stages_are_measured_in_turns(iteration, monkeypatch):
    from launches import SMALL

    options = ["--size", "64", "64", "--iterations", "2", "--opts", *SMALL]
    monkeypatch.setattr("sys.argv", ["iteration.py", *options])
    turns, iterate = [], iteration._iterate

    def noted(training, *args):
        turns.append(type(training.model).__name__)
        iterate(training, *args)

    monkeypatch.setattr(iteration, "_iterate", noted)
    rows = iteration.time_stages(iteration.parse_args())
    first, second = "ImbRetinaNet", "RetinaNet"
    assert turns == [first, second, second, first, first, second]
    for name in ("detectron2", "imbdet"):
        *stages, whole = (row for row in rows if row["detector"] == name)
        assert {"data", "backbone", "head", "assign", "loss", "backward", "optimizer"} <= {
            row["stage"] for row in stages
        }
        assert sum(row["ms"] for row in stages) == pytest.approx(whole["ms"])
