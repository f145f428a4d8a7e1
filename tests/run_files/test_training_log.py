"""The scalars of a training."""

import json

import numpy as np
import pytest

from imbdet.run_files.training_log import Curve, read_training_log


def test_of_an_iteration_the_later_line_counts(tmp_path):
    """A run stopped after iteration 39, went on from 19, and was killed."""
    rows = [(19, 9.0, 1.0), (39, 9.0, 5.0), (39, 3.0, 2.0), (59, 1.0, 2.0)]
    names = ("iteration", "total_loss", "time")
    path = tmp_path / "metrics.json"
    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    path.write_text("\n".join([*lines, '{"iteration": 79, "tot']))
    log = read_training_log(path)
    assert log.curves.keys() == {"total_loss", "time"}
    assert log.curves["total_loss"].iterations.tolist() == [19, 39, 59]
    assert log.curves["total_loss"].values.tolist() == [9.0, 3.0, 1.0]
    assert log.num_damaged == 1
    assert log.iterations_done == 60
    # Each time stands for the iterations since the one before.
    assert log.seconds == 20 * 1.0 + 20 * 2.0 + 20 * 2.0


def test_a_log_without_times(tmp_path):
    (tmp_path / "metrics.json").write_text('{"iteration": 3, "lr": 0.1}')
    log = read_training_log(tmp_path / "metrics.json")
    assert (log.iterations_done, log.seconds) == (0, 0)


def test_smoothing():
    near, far = np.exp([-0.5, -2])
    curve = Curve(np.arange(4), np.array([1.0, np.nan, 4.0, 6.0]))
    expected = (far * 1 + 4 + near * 6) / (far + 1 + near)
    assert curve.smoothed[2] == pytest.approx(expected)
    assert Curve(np.arange(1000), np.full(1000, 7.0)).smoothed == pytest.approx(7)
    assert np.isnan(Curve(np.arange(9), np.full(9, np.nan)).smoothed).all()
    assert Curve(np.array([3]), np.array([2.0])).smoothed.tolist() == [2]
