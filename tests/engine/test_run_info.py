"""What ``run.json`` says of a run."""

import json
from argparse import Namespace

import numpy as np
import pytest
import torch

from imbdet.config import load_config
from imbdet.engine.run_info import write_run_info


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
    # Where the results are is no setting of the run.
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
