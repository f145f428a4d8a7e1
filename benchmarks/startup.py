#!/usr/bin/env python
"""How long a user waits for an import, for --help, and for an error in a config.

    python benchmarks/startup.py
    python benchmarks/startup.py --repetitions 3

Each command is a process of its own, in turns. Seconds are those of the process on all its threads;
what is beyond `import torch` has a bootstrap interval of 95 %.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measuring import median_interval
from sections import run_sections

from imbdet.programs.program import run_program

ROOT = Path(__file__).resolve().parent.parent
TORCH = "import torch"
CONFIG = str(ROOT / "configs" / "quick_start" / "retinanet.yaml")
TRAIN = (str(ROOT / "train_net.py"), "--config-file")
ANALYZE = ("-m", "imbdet.cli", "analyze", "--output", os.devnull, "--config-file")

# Commands, their exit status, and the goal: most seconds, alone or beyond `import torch`.
COMMANDS: dict[str, tuple[tuple[str, ...], int, str]] = {
    TORCH: (("-c", TORCH), 0, ""),
    "import imbdet.losses": (("-c", "import imbdet.losses"), 0, "beyond < 10 %"),
    "train_net.py --help": ((TRAIN[0], "--help"), 0, "< 1 s"),
    "imbdet --help": (("-m", "imbdet.cli", "--help"), 0, "< 1 s"),
    "imbdet methods": (("-m", "imbdet.cli", "methods"), 0, "< 1 s"),
    "imbdet config explain": (("-m", "imbdet.cli", "config", "explain", "MODEL"), 0, "< 1 s"),
    "train_net.py, no such file": ((*TRAIN, "missing.yaml"), 2, "beyond < 1.5 s"),
    "train_net.py, no such key": ((*TRAIN, CONFIG, "SOLVER.LR", "1"), 2, "beyond < 1.5 s"),
    "imbdet analyze, no such key": ((*ANALYZE, CONFIG, "SOLVER.LR", "1"), 2, "beyond < 1.5 s"),
}


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=9, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    return parser.parse_args(namespace=argparse.Namespace(only=["start"], threads=1, device="cpu"))


def run_once(command: tuple[str, ...], status: int, folder: str) -> float:
    """Seconds that a process took on all its threads."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, wait_status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(wait_status)
    if process.returncode != status:
        sys.exit(f"error: {' '.join(command)} ended with {process.returncode}, not {status}")
    return usage.ru_utime + usage.ru_stime


def time_start(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Start of programs (medians)."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(-1, args.repetitions):  # the first turn warms the disk's cache
            for name, (command, status, _) in COMMANDS.items():
                duration = run_once(command, status, folder)
                if turn >= 0:
                    seconds[name].append(duration)
    torch_seconds, rows = np.array(seconds[TORCH]), []
    for name, (_, _, goal) in COMMANDS.items():
        median, low, high = median_interval(np.array(seconds[name]) - torch_seconds)
        beyond = {"beyond torch [s]": median, "low": low, "high": high}
        rows.append({"command": name, "[s]": np.median(seconds[name]), **beyond, "goal": goal})
    return rows


def main() -> None:
    """Measure and print."""
    run_sections({"start": time_start}, parse_args())


if __name__ == "__main__":
    sys.exit(run_program(main, output="the file of --json"))
