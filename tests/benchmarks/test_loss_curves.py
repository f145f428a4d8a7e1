"""benchmarks/loss_curves.py records the AP of trainings at their evaluations."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from tests.test_configs import CONFIGS


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(CONFIGS.parent / "benchmarks"))
    import loss_curves

    return loss_curves


def write_metrics(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_curve_is_of_the_evaluations(benchmark, tmp_path):
    rows = [{"iteration": 19, "total_loss": 1.0}, {"iteration": 49, "bbox/AP": 2.0}]
    # The evaluation after the training has the number of the iteration that would come next.
    write_metrics(tmp_path / "metrics.json", *rows, {"iteration": 90, "bbox/AP": 5.0})
    assert benchmark.read_curve(tmp_path / "metrics.json", 90) == {50: 2.0, 90: 5.0}


def test_writes_the_curves_of_all_trainings(benchmark, tmp_path, monkeypatch):
    def train(words):
        options = dict(zip(words[2::2], words[3::2], strict=True))
        space = yaml.safe_load(Path(options["--space"]).read_text())
        assert space["overrides"]["TEST.EVAL_PERIOD"] == 50
        for seed in space["seeds"]:
            for loss in space["axes"]["loss"]:
                folder = tmp_path / "runs" / f"{loss}-seed_{seed}"
                folder.mkdir()
                write_metrics(folder / "metrics.json", {"iteration": 450, "bbox/AP": 10 + seed})
        return 0

    config = SimpleNamespace(SOLVER=SimpleNamespace(MAX_ITER=450))
    monkeypatch.setattr(benchmark, "run_imbdet", train)
    monkeypatch.setattr(benchmark, "load_config", lambda path: config)
    written = tmp_path / "curves.json"
    assert benchmark.main(["--output", str(tmp_path / "runs"), "--json", str(written)]) == 0
    curves = json.loads(written.read_text())["curves"]
    assert list(curves) == ["focal", "ap", "alrp", "rank_sort", "ghm", "dr"]
    assert curves["dr"] == {"1": {"450": 11}, "2": {"450": 12}, "3": {"450": 13}}
