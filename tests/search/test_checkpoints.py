"""Checkpoints that a search leaves on the disk, with trainings simulated in this process."""

import contextlib
import itertools
import json
import subprocess
import sys

import pytest

from imbdet.engine.checkpoint_folder import CheckpointFolder
from imbdet.search.launcher import End, Launcher

SPACE = """
axes:
  loss:
    a: {LEVEL: 20, BAD_FROM: 99}
    b: {LEVEL: 25, BAD_FROM: 99}
    c: {LEVEL: 5, BAD_FROM: 99}
seeds: [1, 2]
final: {dataset: test, seeds: [4, 5]}
"""
EQUAL = SPACE.replace("25", "20").replace("LEVEL: 5", "LEVEL: 20")
FAILING = SPACE.replace("LEVEL: 20", "LEVEL: 25").replace("BAD_FROM: 99", "BAD_FROM: 3")
# Files that remain of a training that has reached a rung.
KEPT = {"model_final.pth", "last_checkpoint"}


def play(launcher, arguments, folder):
    """Write the AP, checkpoints, and the one from which the training went on."""
    keys = dict(itertools.pairwise(arguments))
    until, checkpoints = int(keys["--until"]), CheckpointFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    start = checkpoints.find_tagged().read_text() if checkpoints.holds_run() else "nothing"
    with open(folder / "begins", "a") as file:
        file.write(f"{start} ")
    (folder / f"model_{until - 1:07d}.pth").write_text(f"{until - 1}")
    if until >= int(keys["BAD_FROM"]):
        return End("the loss is not finite.", 1.0)
    (folder / "ap.json").write_text(json.dumps(float(keys["LEVEL"]) + 0.1 * int(keys["SEED"])))
    (folder / "model_final.pth").write_text(f"{until}")
    checkpoints.set_tag("model_final.pth")
    return End("", 1.0)


@pytest.fixture(autouse=True)
def _played_here(search, monkeypatch):
    monkeypatch.setattr(Launcher, "train", play)


@pytest.fixture
def checkpoints(tmp_path):
    """The names of all checkpoints, and of the tag, of an arm in the search."""

    def find(arm, stage="trainings"):
        folders = tmp_path.glob(f"o/{stage}/{arm}-seed_*")
        patterns = ("*.pth", ".*.tmp", "last_checkpoint")
        return {file.name for f in folders for pattern in patterns for file in f.glob(pattern)}

    return find


@pytest.fixture
def begins(tmp_path):
    """The iterations after which a training was begun or gone on with."""

    def read(training):
        return (tmp_path / "o" / "trainings" / training / "begins").read_text().split()

    return read


def test_those_of_dropped_arms_go_and_of_others_the_last_one_stays(search, checkpoints, tmp_path):
    assert search(text=SPACE) == 0
    assert checkpoints("a") == checkpoints("c") == set()
    assert checkpoints("b") == KEPT
    assert checkpoints("a", "final") == checkpoints("b", "final") == KEPT
    assert len(list(tmp_path.glob("o/trainings/c-seed_*/ap.json"))) == 2


def test_a_learning_rate_that_is_not_kept_has_none(search, checkpoints):
    text = EQUAL.replace("seeds: [1", "learning_rates: [0.1, 0.2]\nseeds: [1")
    assert search(text=text) == 0
    assert [rate for rate in ("0.1", "0.2") if checkpoints(f"b-lr_{rate}")] == ["0.1"]


def test_what_was_left_out_for_the_budget_goes_on_from_its_checkpoint(search, checkpoints, begins):
    search(text=EQUAL, budget=6)
    for arm in "abc":
        assert checkpoints(arm) == KEPT
    assert search(text=EQUAL, budget=1000) == 0
    assert begins("c-seed_1") == ["nothing", "1", "3"]
    assert checkpoints("c") == KEPT


def test_a_failed_arm_keeps_them_while_the_search_goes_on(search, checkpoints, begins):
    assert search(text=FAILING) == 2  # all have failed
    assert checkpoints("b") == {"model_0000002.pth", *KEPT}
    assert search("--retry-failed", text=FAILING) == 2
    assert begins("b-seed_1") == ["nothing", "1", "1"]


def test_a_failed_arm_has_none_when_the_search_has_ended(search, checkpoints, begins):
    text = FAILING.replace("25, BAD_FROM: 3", "25, BAD_FROM: 99", 1)
    assert search(text=text) == 0
    assert checkpoints("b") == set()
    assert search("--retry-failed", text=text) == 0
    assert begins("b-seed_1") == ["nothing", "1", "nothing"]
    assert checkpoints("b") == set()


def test_a_search_that_was_killed_while_it_removed_goes_on(search, checkpoints, monkeypatch):
    def die(folder):
        folder.tag.unlink()
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointFolder, "remove_all", die)
        with pytest.raises(RuntimeError, match="killed"):
            search(text=SPACE)
    assert "model_final.pth" in checkpoints("a") | checkpoints("c")
    assert search(text=SPACE) == 0
    assert checkpoints("a") == checkpoints("c") == set()


def test_show_removes_nothing(search, checkpoints, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(CheckpointFolder, "remove_all", lambda folder: None)
        search(text=SPACE)
    assert search("--show", text=SPACE) == 0
    assert checkpoints("c") == KEPT


def test_a_folder_in_use_is_left_for_the_next_time(search, checkpoints, tmp_path, monkeypatch):
    folder = tmp_path / "o" / "trainings" / "c-seed_1"
    lock = "import fcntl, sys; f = open(sys.argv[1], 'a+'); fcntl.lockf(f, fcntl.LOCK_EX); "
    command = [sys.executable, "-c", lock + "print(flush=True); input()", str(folder / ".lock")]
    pipe = subprocess.PIPE
    with contextlib.ExitStack() as stack, monkeypatch.context() as patch:

        def play_and_stay(launcher, arguments, own):
            end = play(launcher, arguments, own)
            if own == folder:
                process = stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe))
                stack.callback(process.kill)
                process.stdout.readline()  # it has the lock
            return end

        patch.setattr(Launcher, "train", play_and_stay)
        assert search(text=SPACE) == 0
        assert checkpoints("c") == KEPT
    assert search(text=SPACE) == 0
    assert checkpoints("c") == set()


def test_what_may_not_be_removed_stays_and_is_named(search, monkeypatch, capfd):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder.root))

    monkeypatch.setattr(CheckpointFolder, "remove_all", refuse)
    assert search(text=SPACE) == 0
    error = capfd.readouterr().err
    assert error.count("c-seed_1' stay: ") == 1
    assert "Permission denied" in error
