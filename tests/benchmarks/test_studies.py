"""benchmarks/studies.py, with simulated trainings, and the files of the studies."""

import csv
import json
import re
from types import SimpleNamespace

import pytest

from imbdet.config import load_config
from imbdet.search.grid import grid_runs
from imbdet.search.space import read_space
from tests.test_configs import CONFIGS

ROOT = CONFIGS.parent
STUDIES = sorted((ROOT / "benchmarks" / "studies").glob("*.yaml"))


@pytest.fixture
def programs(monkeypatch):
    """The modules of the benchmarks."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import results_table
    import studies

    return SimpleNamespace(studies=studies, results_table=results_table)


@pytest.fixture
def play(programs, monkeypatch):
    """Instead of training, run r of a study measures an AP of 10 r, and the last class 1 more."""

    def run(command, **_):
        folder = programs.studies.Path(command[command.index("--output") + 1])
        space = read_space(programs.studies.Path(command[command.index("--space") + 1]))
        runs = grid_runs(space, folder)
        for i, training in enumerate(runs):
            metrics = training.folder / "inference" / "val" / "metrics.json"
            metrics.parent.mkdir(parents=True)
            overall = dict.fromkeys(["AP", "AP50", "AP75"], 10.0 * i)
            classes = {"common": {"AP": 90.0}, "rare": {"AP": 10.0 * i + 1}}
            content = {"bbox": {"overall": overall, "per_class": classes}}
            metrics.write_text(json.dumps({"metrics": content}))
            line = {"total_loss": 1.0, "time": 0.5}
            (training.folder / "metrics.json").write_text(json.dumps(line))
        with open(folder / "table.csv", "w", newline="") as file:
            rows = [{**run.choices, "seed": run.seed, "folder": run.folder} for run in runs]
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return 0

    monkeypatch.setattr(programs.studies, "wait_for", run)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_run_of_a_study_has_a_config(path):
    configs = []
    for arm in read_space(path).arms.values():
        cfg = load_config(*arm.files, opts=arm.opts)
        assert cfg not in configs
        configs.append(cfg)


@pytest.mark.usefixtures("play")
@pytest.mark.parametrize("study", ["isr_k", "long_tail", "sampling_grid"])
def test_a_study_is_kept_and_drawn(programs, study, tmp_path):
    results = tmp_path / "results"
    programs.studies.main([study, "--output", str(tmp_path), "--results", str(results)])
    kept = json.loads((results / f"{study}.json").read_text())
    first, second = kept["runs"][:2]
    assert first["choices"] != second["choices"]
    assert first["seed"] == second["seed"] == 1
    assert second["val"] == {
        **dict.fromkeys(["AP", "AP50", "AP75"], 10.0),
        "AP common": 90.0,
        "AP rare": 11.0,
    }
    assert (results / f"{study}.png").stat().st_size > 10_000
    combinations = len(kept["runs"]) // len({run["seed"] for run in kept["runs"]})
    table = programs.results_table.format_table(kept)
    overall, of_classes, trainings = re.split(r"\n\n(?:By class|The trainings):\n\n", table)
    assert overall.startswith(f"{kept['question']} Validation split")
    assert "AP rare" in of_classes
    tables = (overall.partition("\n\n")[2], of_classes, trainings)
    assert {table.count("\n") + 1 for table in tables} == {2 + combinations}


@pytest.mark.usefixtures("play")
def test_seeds_are_dots_and_their_spread_is_shown(programs, tmp_path):
    programs.studies.main(["isr_k", "--output", str(tmp_path), "--results", str(tmp_path)])
    results = json.loads((tmp_path / "isr_k.json").read_text())
    of_all, _ = programs.studies.draw(results).axes
    # Four choices, two seeds one after the other: 0 to 30 and 40 to 70.
    (dots,) = of_all.lines
    assert dots.get_linestyle() == "None"
    assert sorted(dots.get_ydata()) == [10.0 * i for i in range(8)]
    (ranges,) = of_all.collections
    assert [list(end[:, 1]) for end in ranges.get_segments()] == [
        [10.0 * i, 10.0 * i + 40] for i in range(4)
    ]


@pytest.mark.usefixtures("play")
def test_the_grid_has_a_row_for_each_choice_of_positives(programs, tmp_path):
    programs.studies.main(["sampling_grid", "--output", str(tmp_path), "--results", str(tmp_path)])
    results = json.loads((tmp_path / "sampling_grid.json").read_text())
    panel = programs.studies.draw(results).axes[0]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["random", "hard", "prime"]
    # Nine choices, two seeds: 0 and 90, 10 and 100, ...
    shown = [text.get_text() for text in panel.texts]
    assert shown == [
        f"{45.0 + 10 * i:.1f}\n{10.0 * i:.1f} to {90.0 + 10 * i:.1f}" for i in range(9)
    ]


@pytest.mark.parametrize(("status", "expected"), [(1, SystemExit), (130, KeyboardInterrupt)])
def test_nothing_is_written_if_a_training_fails_or_is_stopped(
    programs, monkeypatch, tmp_path, status, expected
):
    monkeypatch.setattr(programs.studies, "wait_for", lambda _: status)
    with pytest.raises(expected):
        programs.studies.main(["isr_k", "--output", str(tmp_path), "--results", str(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_unknown_studies_are_refused(programs, capsys):
    with pytest.raises(SystemExit):
        programs.studies.main(["isr"])
    assert "no study isr: choose from ap_delta" in capsys.readouterr().err
