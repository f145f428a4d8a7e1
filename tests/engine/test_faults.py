"""Trainings that are killed lose nothing; the program called here can try many more faults."""

import json
import subprocess
import sys
from pathlib import Path

import train_net

PROGRAM = Path(train_net.__file__).parent / "benchmarks" / "faults.py"


def test_nothing_is_lost(tmp_path):
    # In a process that has never computed a gradient: others cannot be forked for trainings.
    command = [sys.executable, PROGRAM, "--json", tmp_path / "counts.json"]
    numbers = {"--kills": 3, "--damages": 30, "--images": 6, "--worker-kills": 1}
    options = [str(x) for pair in numbers.items() for x in pair]
    result = subprocess.run([*command, *options], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert list(counts.values()) == [[3, 3], [30, 30], [6, 6], [1, 1]]
