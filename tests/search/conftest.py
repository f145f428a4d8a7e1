"""Searches with simulated trainings: a stand-in for the program, with made-up APs."""

import json
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from imbdet.cli import main
from imbdet.search import launcher, results, run_search, stage
from imbdet.search.searched_configs import Shared

# A program that notes its start, and leaves the AP of its arm and seed.
PROGRAM = """
import json, pathlib, signal, sys, time
words = sys.argv[1:]
keys = dict(zip(words, words[1:]))
folder = pathlib.Path(keys["OUTPUT_DIR"])
until = int(keys["--until"])
with open(folder / "starts", "a") as file:
    print(until, file=file)
def stop(*_):
    (folder / "checkpoint").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
kind = keys["KIND"]
if kind == "bad" and until > 1 and not (folder.parents[1] / "mended").exists():
    sys.exit("error: the loss is not finite.")
if kind == "slow" and not (folder / "checkpoint").exists():
    (folder / "ready").touch()
    time.sleep(600)
ap = float(keys["LEVEL"]) + 0.1 * (int(keys["SEED"]) * 7 % 3)
(folder / "ap.json").write_text(json.dumps(ap))
"""
SPACE = """
axes:
  loss:
    a: {LEVEL: 20, KIND: good}
    b: {LEVEL: 25, KIND: %s}
    c: {LEVEL: 5, KIND: good}
seeds: [1, 2, 3]
final: {dataset: test, seeds: [4, 5]}
"""
RUNGS = (1, 3, 9)


def played_ap(folder: Path, dataset: str) -> tuple[np.ndarray, int]:
    """AP of the data set and without each of 10 groups."""
    value = json.loads((folder / "ap.json").read_text())
    return np.full(11, value), 100


@pytest.fixture(autouse=True)
def _heard_ctrl_c():
    # The suite may run in the background, where shells ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def search(tmp_path, monkeypatch):
    """Function that runs ``imbdet search`` on a space, and returns the exit status."""
    (tmp_path / "program.py").write_text(PROGRAM)
    command = (sys.executable, str(tmp_path / "program.py"), "--resume")
    monkeypatch.setattr(launcher, "_TRAIN", command)
    monkeypatch.setattr(stage, "reached_ap", played_ap)
    monkeypatch.setattr(stage, "_PERIOD", 0.05)
    monkeypatch.setattr(run_search, "refuse_overwriting", lambda space: None)
    monkeypatch.setattr(run_search, "check_arms", lambda space: Shared(RUNGS, "val"))
    monkeypatch.setattr(
        run_search, "write_winner", lambda path, arm, said: path.write_text(arm.name)
    )
    monkeypatch.setattr(results, "write_study", lambda kind, compute, output: "drawn")
    space = tmp_path / "space.yaml"

    def run(*flags, text=SPACE % "good", budget=1000, output="o"):
        if not space.exists() or space.read_text() != text:  # another one may be reading it
            space.write_text(text)
        words = ["--space", str(space), "--output", str(tmp_path / output)]
        return main(["search", *words, "--iterations", str(budget), *flags])

    return run


@pytest.fixture
def begin(search, monkeypatch):
    """Function that begins the search of SPACE, and trains nothing."""

    def run():
        with monkeypatch.context() as patch:
            patch.setattr(run_search.Search, "run", lambda *_: None)
            assert search() == 0

    return run


@pytest.fixture
def starts(tmp_path):
    """How often each training was started, by its folder and the iteration it was to reach."""

    def count():
        found = {}
        for file in tmp_path.glob("o/*/*/starts"):
            for until in file.read_text().split():
                key = (file.parent.name, int(until))
                found[key] = found.get(key, 0) + 1
        return found

    return count
