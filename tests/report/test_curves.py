"""The curves of a training."""

import json

import pytest

from imbdet.report.curves import read_scalars, training_content, training_seconds
from imbdet.report.elements import note


@pytest.fixture
def metrics(tmp_path):
    """Of a run that stopped behind iteration 39 and went on from 19."""
    rows = [(19, 9.0, 1.0), (39, 9.0, 5.0), (39, 3.0, 2.0), (59, 1.0, 2.0)]
    names = ("iteration", "total_loss", "time")
    path = tmp_path / "metrics.json"
    path.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))
    return path


def test_of_an_iteration_the_later_line_counts(metrics, monkeypatch):
    figures = []
    monkeypatch.setattr(
        "imbdet.report.curves.grid", lambda plots: figures.extend(plots) or note("")
    )
    training_content(metrics)
    (losses,) = (plot.figure.data for plot in figures if plot.title == "Losses")
    assert losses[0].x.tolist() == [19, 39, 59]
    assert losses[0].y.tolist() == [9.0, 3.0, 1.0]


def test_each_time_stands_for_the_iterations_before(metrics):
    rows, num_damaged = read_scalars(metrics)
    assert num_damaged == 0
    assert training_seconds(rows) == 20 * 1.0 + 20 * 2.0 + 20 * 2.0
