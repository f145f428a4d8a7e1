import json

import numpy as np
import pytest

from imbdet.figures.study import NothingToShow
from imbdet.figures.training_curves import training_curves


def run_with(folder, *lines):
    folder.mkdir()
    if lines:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        (folder / "metrics.json").write_text("\n".join(texts))
    return folder / "metrics.json"


def test_losses_and_ap_are_read(tmp_path):
    first = run_with(
        tmp_path / "first",
        {"iteration": 19, "total_loss": 2.0, "loss_cls": 1.5, "lr": 0.1},
        {"iteration": 39, "total_loss": 1.0, "loss_cls": 0.5, "lr": 0.1},
        {"iteration": 40, "bbox/AP": 30.0, "bbox/AP50": 50.0},
    )
    second = run_with(tmp_path / "second", {"iteration": 19, "total_loss": 4.0, "loss_mask": 3.0})
    third = run_with(tmp_path / "third", {"iteration": 9, "val/bbox/AP": 1.0, "other/bbox/AP": 2.0})
    fourth = run_with(tmp_path / "fourth")
    logs = {"first": first, "second": second, "third": third, "fourth": fourth}
    found = training_curves(logs, "val")
    assert list(found.curves) == ["total_loss", "loss_cls", "loss_mask", "AP"]
    assert found.curves["total_loss"]["first"].iterations.tolist() == [19, 39]
    assert found.curves["total_loss"]["first"].values.tolist() == [2, 1]
    assert found.curves["AP"]["first"].values.tolist() == [30]
    assert found.curves["AP"]["third"].values.tolist() == [1]
    assert found.curves["loss_mask"].keys() == {"second"}
    assert found.runs == ["first", "second", "third"]
    assert found.sentence().startswith("Total losses at the end (smoothed): first 1.38, second 4. ")
    assert found.sentence().endswith("fourth has no curves.")
    assert found.table().num_rows == 2 + 1 + 2 + 1 + 2


def test_a_resumed_run_counts_once_and_a_killed_one_is_read(tmp_path):
    run = run_with(
        tmp_path / "run",
        {"iteration": 19, "total_loss": 3.0},
        {"iteration": 39, "total_loss": 2.0},
        {"iteration": 19, "total_loss": 1.0},
        '{"iteration": 59, "tot',
    )
    curve = training_curves({"run": run}, "val").curves["total_loss"]["run"]
    assert curve.iterations.tolist() == [19, 39]
    assert curve.values.tolist() == [1, 2]


def test_what_diverged_is_said(tmp_path):
    lines = [{"iteration": i, "total_loss": v} for i, v in enumerate([1, np.nan, 2, np.nan])]
    found = training_curves({"run": run_with(tmp_path / "run", *lines)}, "val")
    assert "total_loss of run is not finite at iteration 3, its last." in found.sentence()
    assert np.isfinite(found.curves["total_loss"]["run"].smoothed).all()


def test_no_curves(tmp_path):
    with pytest.raises(NothingToShow, match=r"metrics\.json"):
        training_curves({"run": run_with(tmp_path / "run", {"iteration": 3, "lr": 0.1})}, "val")
