"""The facts about a run in ``run.json``."""

import json
import subprocess
from argparse import Namespace
from types import ModuleType

import numpy as np
import pytest
import torch

from imbdet.config import load_config
from imbdet.engine.run_info import _version, write_run_info


@pytest.fixture
def start(tmp_path):
    """A function that notes a start with some overrides, and returns all that are noted."""

    def write(*opts, task="training", resume=False):
        cfg = load_config(opts=["OUTPUT_DIR", str(tmp_path), "MODEL.DEVICE", "cpu", *opts])
        args = Namespace(config_file=["a.yaml"], opts=opts, resume=resume)
        write_run_info(cfg, args, task, [torch, np])
        return json.loads((tmp_path / "run.json").read_text())

    return write


def test_says_what_was_started(start):
    (info,) = start("SEED", "3", "SOLVER.STEPS", "(5,)", "DATASETS.TEST", "('a', 'b')")
    assert info["task"] == "training"
    assert info["seed"] == 3
    assert info["config_files"] == ["a.yaml"]
    assert info["overrides"]["SOLVER.STEPS"] == "(5,)"
    # The folder of the results is no setting of the run.
    assert info["changed_keys"] == {
        "DATASETS.TEST": [[], ["a", "b"]],
        "MODEL.DEVICE": ["cuda", "cpu"],
        "SEED": [-1, 3],
        "SOLVER.STEPS": [[30000], [5]],
    }
    assert info["datasets"] == {"train": [], "test": ["a", "b"]}
    assert info["versions"]["torch"] == torch.__version__
    assert start()[0]["seed"] is None


def test_keeps_earlier_starts_unless_a_training_begins_anew(start):
    start("SEED", "1")
    start("SEED", "1", resume=True)
    tasks = [(info["task"], info["resume"]) for info in start(task="evaluation")]
    assert tasks == [("training", False), ("training", True), ("evaluation", False)]
    assert [info["seed"] for info in start("SEED", "2")] == [2]


@pytest.mark.parametrize("content", ["", "[{", "{}"])
def test_gives_up_a_list_that_cannot_be_read(start, tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    assert len(start(task="evaluation")) == 1


SOURCES = {
    "of an index": (None, "7.0"),
    "of a repository": (
        {"url": "https://x", "vcs_info": {"commit_id": "0123456789abcdef"}},
        "7.0, commit 0123456789",
    ),
    "of a folder without git": ({"url": "file:///nowhere", "dir_info": {}}, "7.0"),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_version_has_its_commit(monkeypatch, source):
    content, version = SOURCES[source]
    package = ModuleType("package")
    package.__version__ = "7.0"
    told = Namespace(read_text=lambda name: content and json.dumps(content))
    monkeypatch.setattr("importlib.metadata.distribution", lambda name: told)
    assert _version(package) == version


def test_a_version_of_a_folder_is_what_is_checked_out_there(tmp_path, monkeypatch):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    content = json.dumps({"url": tmp_path.as_uri(), "dir_info": {}})
    told = Namespace(read_text=lambda name: content)
    monkeypatch.setattr("importlib.metadata.distribution", lambda name: told)
    assert _version(np) == f"{np.__version__}, commit {head[:10]}"
