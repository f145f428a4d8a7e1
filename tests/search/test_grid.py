"""``imbdet search --grid``, with a stand-in for the training program."""

import csv
import os
import shutil
import signal
import sys
import threading
import time

import pytest
import torch

from imbdet.cli import main
from imbdet.search import grid, launcher

# A program that writes metrics by seed and loss; "bad" fails and "slow" waits for its end.
PROGRAM = """
import json, pathlib, signal, sys, time
keys = dict(zip(sys.argv[1:], sys.argv[2:]))
folder = pathlib.Path(keys["OUTPUT_DIR"])
with open(folder / "starts", "a") as file:
    print(keys["SEED"], file=file)
assert "--resume" in sys.argv
if "LOSS" in keys and keys["LOSS"] == "bad":
    sys.exit("first line\\nerror: LOSS is bad.")
if "LOSS" in keys and keys["LOSS"] == "slow":
    def stop(*_):
        (folder / "checkpoint").touch()
        sys.exit(143)
    signal.signal(signal.SIGTERM, stop)
    (folder / "ready").touch()
    time.sleep(600)
value = 10.0 * int(keys["SEED"])
results = folder / "inference" / "val"
results.mkdir(parents=True)
metrics = {"bbox": {"overall": {"AP": value, "AP50": value, "AP75": value}}}
(results / "metrics.json").write_text(json.dumps({"metrics": metrics}))
"""
GRID = """
base: [base.yaml]
axes:
  loss:
    a: [piece.yaml, {A: 1}]
    b: {LOSS: %s}
  sampler: {c: [], d: []}
seeds: [1, 2]
overrides: {B: 2}
"""


@pytest.fixture(autouse=True)
def _heard_ctrl_c():
    # The suite may run in the background, where shells ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _program(tmp_path, monkeypatch):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = (sys.executable, str(tmp_path / "program.py"), "--resume")
    monkeypatch.setattr(launcher, "_TRAIN", command)
    monkeypatch.setattr(grid, "refuse_overwriting", lambda space: None)
    for name in ("base.yaml", "piece.yaml"):
        (tmp_path / name).touch()


def run(tmp_path, text=GRID % "good", *flags):
    (tmp_path / "space.yaml").write_text(text)
    space = ["--space", str(tmp_path / "space.yaml")]
    return main(["search", "--grid", *space, "--output", str(tmp_path / "o"), *flags])


def read_table(tmp_path):
    with open(tmp_path / "o" / "table.csv", newline="") as file:
        return list(csv.DictReader(file))


def num_starts(tmp_path):
    return sum(len(file.read_text().split()) for file in tmp_path.glob("o/*/starts"))


def test_all_combinations_are_run_once(tmp_path, capfd):
    assert run(tmp_path, GRID % "good", "--parallel", "3") == 0
    rows = read_table(tmp_path)
    assert len(rows) == 8
    assert {(row["loss"], row["sampler"], row["seed"]) for row in rows} == {
        (loss, sampler, seed) for loss in "ab" for sampler in "cd" for seed in "12"
    }
    assert all(row["val/bbox/AP"] == f"{10.0 * int(row['seed'])}" for row in rows)
    out = capfd.readouterr().out
    assert out.count("15.0 ± 7.1") == 4 * 3
    assert f"imbdet compare {tmp_path / 'o' / 'a-c-seed_1'} " in out
    assert run(tmp_path) == 0
    assert num_starts(tmp_path) == 8


def test_a_metric_without_objects_is_a_dash(tmp_path, capfd):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace('"AP75": value', '"AP75": None'))
    assert run(tmp_path) == 0
    rows = [line.split() for line in capfd.readouterr().out.splitlines() if "15.0 ± 7.1" in line]
    assert [row[-1] for row in rows] == ["-"] * 4
    assert read_table(tmp_path)[0]["val/bbox/AP75"] == ""


def test_averaged_weights_have_columns_of_their_own(tmp_path):
    assert run(tmp_path) == 0
    for folder in (tmp_path / "o").glob("*-seed_*/inference"):
        shutil.copytree(folder, folder.with_name("inference_EMA"))
    assert run(tmp_path) == 0
    assert all(row["val/bbox/AP"] == row["val_EMA/bbox/AP"] != "" for row in read_table(tmp_path))


def test_a_failed_run_is_named_and_the_others_go_on(tmp_path, capfd):
    assert run(tmp_path, GRID % "bad") == 1
    error = capfd.readouterr().err
    assert error.count("failed with exit status 1: error: LOSS is bad.") == 4
    assert str(tmp_path / "o" / "b-d-seed_2") in error
    finished = [row["finished"] for row in read_table(tmp_path)]
    assert finished.count("True") == finished.count("False") == 4
    assert run(tmp_path, GRID % "bad") == 1
    assert num_starts(tmp_path) == 4 + 2 * 4


def test_a_run_that_cannot_be_started_is_named_and_the_others_go_on(tmp_path, capfd):
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "a-c-seed_1").touch()  # where its folder should be
    assert run(tmp_path) == 1
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"error: {tmp_path / 'o' / 'a-c-seed_1'} failed with ")
    assert num_starts(tmp_path) == 7


def test_a_launcher_that_does_not_exist_is_said(tmp_path, capfd):
    assert run(tmp_path, GRID % "good", "--launcher", "no_such_program") == 1
    error = capfd.readouterr().err
    assert error.count("No such file or directory: 'no_such_program'\n") == error.count("\n") == 8


def test_a_launcher_with_an_open_quote_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        run(tmp_path, GRID % "good", "--launcher", "srun 'x")
    assert caught.value.code == 2
    assert "--launcher" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_with_their_checkpoints(number, tmp_path, capfd):
    def press():
        while len(list(tmp_path.glob("o/*/ready"))) < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=press)
    thread.start()
    text = (GRID % "slow").replace("a: [piece.yaml, {A: 1}]", "e: {LOSS: slow}")
    assert run(tmp_path, text, "--parallel", "2") == 128 + number
    thread.join()
    assert len(list(tmp_path.glob("o/*/checkpoint"))) == 2
    assert num_starts(tmp_path) == 2
    assert "The same command goes on." in capfd.readouterr().err


def test_an_ignored_signal_stays_ignored(tmp_path):
    # The signals of a program that a shell runs in the background.
    press = "import os, signal; os.kill(os.getppid(), signal.SIGINT)\n"
    (tmp_path / "program.py").write_text(press + PROGRAM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert run(tmp_path) == 0


def test_each_gpu_has_one_run(tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    show = "import os; open('gpus', 'a').write(os.environ['CUDA_VISIBLE_DEVICES'] + ' ')\n"
    program.write_text(show + PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 6)
    assert run(tmp_path, GRID % "good", "--gpus", "3", "5") == 0
    assert set((tmp_path / "gpus").read_text().split()) == {"3", "5"}


def test_a_launcher_precedes_the_command(tmp_path):
    assert run(tmp_path, GRID % "good", "--launcher", "env LAUNCHED=1") == 0


def test_a_damaged_note_is_one_sentence(tmp_path, capfd):
    assert run(tmp_path) == 0
    note = tmp_path / "o" / "a-c-seed_1" / "grid.json"
    for damaged in ("", "{}", '{"arguments": [], "finished"', "[1]", "\0"):
        note.write_text(damaged)
        for flags in ([], ["--show"]):
            capfd.readouterr()
            assert run(tmp_path, GRID % "good", *flags) == 2
            error = capfd.readouterr().err
            assert error.startswith(f"error: '{note}' is damaged (")
            assert error.endswith("): remove it, and the grid goes on with this training.\n")
            assert error.count("\n") == 1


def test_damaged_metrics_are_one_sentence(tmp_path, capfd):
    assert run(tmp_path) == 0
    file = tmp_path / "o" / "a-c-seed_1" / "inference" / "val" / "metrics.json"
    for damaged in ("", "{}", '{"metrics": {"bbox": {}}}', "[1]", '{"metrics": '):
        file.write_text(damaged)
        capfd.readouterr()
        assert run(tmp_path) == 2
        error = capfd.readouterr().err
        assert error.startswith(f"error: '{file}' is damaged (")
        assert error.endswith("and the grid evaluates this training again.\n")
        assert error.count("\n") == 1
    file.unlink()
    assert run(tmp_path) == 0
    assert "-" in capfd.readouterr().out.splitlines()[3].split()


def test_a_grid_is_not_trained_in_the_folder_of_a_run_or_a_file(tmp_path, capfd):
    (tmp_path / "o").touch()
    assert run(tmp_path) == 2
    assert f"error: '{tmp_path / 'o'}' cannot be written to" in capfd.readouterr().err
    (tmp_path / "o").unlink()
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "config.yaml").touch()
    assert run(tmp_path) == 2
    assert f"--output '{tmp_path / 'o'}' holds a run: choose" in capfd.readouterr().err
    assert len(list((tmp_path / "o").iterdir())) == 1


def test_a_grid_that_was_not_begun_is_not_shown(tmp_path, capfd):
    assert run(tmp_path, GRID % "good", "--show") == 2
    assert f"There is no grid of '{tmp_path / 'space.yaml'}' in" in capfd.readouterr().err
    assert not (tmp_path / "o").exists()


def test_a_changed_grid_is_refused(tmp_path, capsys):
    assert run(tmp_path) == 0
    assert run(tmp_path, GRID % "other") == 2
    assert "was trained with other settings" in capsys.readouterr().err
