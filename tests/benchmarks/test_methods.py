"""benchmarks/methods.py and its tables, with simulated trainings."""

import itertools
import json
import os
import re
import runpy
import signal
import statistics
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from tests.test_configs import CONFIGS

BENCHMARKS = CONFIGS.parent / "benchmarks"
# Validation AP by method and learning rate; seeds add to it.
APS = {("plain", 0.1): 10, ("plain", 0.2): 30, ("AP", 0.1): 40, ("AP", 0.2): None}


@pytest.fixture
def programs(monkeypatch):
    """The modules, and the commands of the trainings, which are simulated."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import methods
    import results_table
    import runs

    played = []

    def play(command, **_):
        played.append(command)
        opts = dict(itertools.pairwise(command))
        folder, dataset = runs.Path(opts["OUTPUT_DIR"]), "bccd_val"
        if "--eval-only" in command:
            dataset = "bccd_test"
            assert opts["DATASETS.TEST"] == "('bccd_test',)"
            assert opts["MODEL.WEIGHTS"] == str(folder.parent / "model_final.pth")
        method = "AP" if any("Loss-AP" in part for part in command) else "plain"
        ap = APS[method, float(opts["SOLVER.BASE_LR"])]
        if ap is None:
            return 2
        ap += int(opts["SEED"]) ** (2 if method == "AP" else 1) + (dataset == "bccd_test")
        metrics = folder / "inference" / dataset / "metrics.json"
        metrics.parent.mkdir(parents=True)
        overall = dict.fromkeys(["AP", "AP50", "AP75"], float(ap))
        content = {"bbox": {"overall": overall, "per_class": {"RBC": {"AP": None}}}}
        metrics.write_text(json.dumps({"metrics": content}))
        lines = [{"total_loss": 1.0, "time": 0.5}, {"total_loss": float("nan"), "time": 0.7}]
        (folder / "metrics.json").write_text("\n".join(map(json.dumps, lines)))
        return 0

    monkeypatch.setattr(runs, "wait_for", play)
    return SimpleNamespace(methods=methods, results_table=results_table, runs=runs, played=played)


def command_line(tmp_path, *more):
    words = "retinanet plain AP --setting bccd --seeds 1 2 3 --learning-rates 0.1 0.2"
    return [*words.split(), "--output", str(tmp_path), "--json", str(tmp_path / "r.json"), *more]


def test_a_training_too_short_to_be_timed(programs, tmp_path):
    folder = tmp_path / "inference" / "val"
    folder.mkdir(parents=True)
    metrics = {"bbox": {"overall": dict.fromkeys(["AP", "AP50", "AP75"], 1.0), "per_class": {}}}
    (folder / "metrics.json").write_text(json.dumps({"metrics": metrics}))
    (tmp_path / "metrics.json").write_text(json.dumps({"total_loss": 1.0, "iteration": 1}))
    run = programs.runs.read_run(tmp_path)
    assert run["s/iter"] is None
    assert programs.results_table._costs([run])["s/iter"] == "-"


def test_one_command_is_the_whole_protocol(programs, tmp_path, capsys):
    programs.methods.main(command_line(tmp_path, "--test"))
    # Four trainings to choose, then for each of three seeds and two methods: training and test.
    assert len(programs.played) == 4 + 3 * 2 * 2
    results = json.loads((tmp_path / "r.json").read_text())
    plain, ap = results["methods"]["plain"], results["methods"]["AP"]
    assert (plain["learning_rate"], plain["choice"]) == (0.2, {"0.1": 11, "0.2": 31})
    assert (ap["learning_rate"], ap["choice"]) == (0.1, {"0.1": 41, "0.2": 0})
    assert [run["val"]["AP"] for run in ap["runs"]] == [41, 44, 49]
    assert [run["test"]["AP"] for run in ap["runs"]] == [42, 45, 50]
    for command in programs.played[:4]:
        opts = dict(itertools.pairwise(command))
        assert (opts["SOLVER.MAX_ITER"], opts["SOLVER.STEPS"]) == ("300", "(240, 279)")
    assert not any("SOLVER.MAX_ITER" in command for command in programs.played[4:])
    out = capsys.readouterr().out
    assert "test split, seeds 1, 2, 3:\n" in out
    assert "| of 0.1, 0.2, by val AP " in out
    decision, metrics, trainings = re.findall(r"^\| plain .*", out, re.MULTILINE)
    assert "33.0 ± 1.0" in decision
    # Differences 10, 12 and 16: 12.67 with a standard error of 1.76.
    assert "+12.7 [+5.1, +20.3] |" in re.search(r"^\| AP  .*", out, re.MULTILINE)[0]
    assert metrics.count("| - ") == 1  # no ground truth
    assert "| 0.2             | 11.0, 31.0 " in trainings
    assert "| 0.60 ± 0.00 | 3 " in trainings


def test_a_short_schedule_is_one_that_the_solver_takes(programs, tmp_path):
    programs.methods.main(command_line(tmp_path, "--iterations", "5", "--choice-iterations", "1"))
    steps = [dict(itertools.pairwise(command))["SOLVER.STEPS"] for command in programs.played]
    assert set(steps) == {"()", "(4,)"}


def test_what_is_done_is_not_repeated_and_test_is_looked_at_on_demand(programs, tmp_path, capsys):
    args = command_line(tmp_path)
    programs.methods.main(args)
    assert not any("--eval-only" in command for command in programs.played)
    programs.played.clear()
    capsys.readouterr()
    programs.methods.main([*args, "--test"])
    # The training that failed is tried again.
    modes = [command[2] for command in programs.played]
    assert modes == ["--resume"] + ["--eval-only"] * 6
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["training", "failed"] + ["test"] * 6
    programs.played.clear()
    programs.methods.main([*args, "--test"])
    assert len(programs.played) == 1


def test_a_page_renews_its_tables(programs, tmp_path):
    programs.methods.main(command_line(tmp_path))
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- table: r.json -->\nold\n<!-- end of table -->\nb\n")
    programs.results_table.main(["--page", str(page)])
    text = page.read_text()
    table = programs.results_table.format_table(json.loads((tmp_path / "r.json").read_text()))
    marks = "<!-- table: r.json -->", "<!-- end of table -->"
    assert text == f"a\n{marks[0]}\n{table}\n\n{marks[1]}\nb\n"
    programs.results_table.main(["--page", str(page)])
    assert page.read_text() == text


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["plain", "PISA", "Focal"], ["", "+2.0", ""]),
        (["PISA", "plain"], None),  # gains are over the detector alone
        (["plain", "Focal"], None),  # no article has it
    ],
)
def test_what_articles_report_stands_beside(programs, names, expected):
    measured = {"val": {"AP": 1.0}, "s/iter": 1.0, "not finite": 0}
    methods = {name: {"runs": [{"seed": 1, **measured}]} for name in names}
    results = {"detector": "faster_rcnn", "setting": "bccd", "methods": methods}
    decision, *_ = programs.results_table.format_table(results).split("\n\nBy IoU")
    title, _, head, _, *rows = decision.splitlines()
    assert title == "faster_rcnn on bccd, val split, seed 1:"
    assert ("published" in head) == (expected is not None)
    if expected is not None:
        assert [row.split("|")[-2].strip() for row in rows] == expected


def test_groups_of_classes_take_the_place_of_classes(programs):
    def run(seed, ap):
        metrics = {"AP": ap, "AP50": ap, "AP75": ap, "APr": ap + seed, "APf": ap, "AP tape": ap}
        return {"seed": seed, "val": metrics, "s/iter": 1.0, "not finite": 0}

    methods = {
        "plain": {"runs": [run(1, 10.0), run(2, 10.0)]},
        "Seesaw": {"runs": [run(1, 12.0), run(2, 13.0)]},
    }
    results = {"detector": "faster_rcnn", "setting": "debris", "methods": methods}
    text = programs.results_table.format_table(results)
    _, groups, by_iou, _ = text.split(":\n\n")[1:]
    head, _, plain, seesaw, *_ = (
        [x.strip() for x in line.split("|")] for line in groups.splitlines()
    )
    assert head[1:-1] == ["method", "APr", "APr - plain", "APf", "APf - plain"]
    assert plain[1:-1] == ["plain", "11.5 ± 0.7", "", "10.0 ± 0.0", ""]
    assert seesaw[2] == "14.0 ± 1.4"
    assert seesaw[3].startswith("+2.5 [")
    assert "tape" not in by_iou


@pytest.mark.parametrize(("shift", "is_undecided"), [(0.0, True), (5.0, False)])
def test_an_interval_that_holds_0_is_undecided(programs, shift, is_undecided):
    differences = [shift + x for x in (-1.0, 0.5, 0.5, 1.0)]
    text = str(programs.results_table.Difference.of(differences))
    mean, low, high = map(float, re.findall(r"[+-][\d.]+", text))
    error = statistics.stdev(differences) / 2
    assert (low, high) == pytest.approx((mean - 3.182 * error, mean + 3.182 * error), abs=0.11)
    assert ("undecided" in text) == is_undecided


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["retinanet", "plain", "--test"], "'shapes' has no test split"),
        (["retinanet", "Nothing"], "no piece 'Nothing'"),
        (["retinanet", "ATSS"], "'ATSS' may be 'Assigner-ATSS' and 'Dense-ATSS'"),
        (["retinanet", "plain", "--seeds", *map(str, range(11))], "11 are more than"),
    ],
)
def test_bad_command_lines_are_refused(programs, args, words, capsys):
    with pytest.raises(SystemExit) as caught:
        programs.methods.main(args)
    assert words in capsys.readouterr().err + str(caught.value)


def test_a_mistake_is_one_sentence(programs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(programs.runs, "CONFIGS", tmp_path)  # where no config is
    monkeypatch.setattr("sys.argv", ["methods.py", "retinanet", "plain", "--iterations", "9"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(BENCHMARKS / "methods.py"), run_name="__main__")
    assert caught.value.code == 2
    assert re.fullmatch("error: .*retinanet.yaml' does not exist.*\n", capsys.readouterr().err)


CHILD = """
import pathlib, signal, sys, time
def stop(*_):
    time.sleep(1)  # as long as a checkpoint takes
    pathlib.Path("checkpoint").touch()
    sys.exit(130)
signal.signal(signal.SIGINT, stop)
pathlib.Path("ready").touch()
time.sleep(300)
"""
PARENT = "import signal, sys, runs; signal.signal(signal.SIGINT, signal.default_int_handler); "
PARENT += "runs.wait_for([sys.executable, '-c', sys.argv[1]])"


def test_a_training_ends_in_order_on_ctrl_c(tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(BENCHMARKS)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (tmp_path / "ready").exists():
        assert parent.poll() is None
        time.sleep(0.05)
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.wait(120) != 0
    assert (tmp_path / "checkpoint").exists()
