#!/usr/bin/env python
"""All that is to be known of a GPU: the benchmarks that measure it, their targets, and its tests.

    python benchmarks/on_gpu.py                          # half an hour
    python benchmarks/on_gpu.py --only losses samplers   # parts of it
    python benchmarks/on_gpu.py --only                   # judge what is there
    python benchmarks/on_gpu.py --device cpu             # tiny, to try the program

Each part is a process of its own, and where one fails the others go on. What it prints goes to
PART.log in the folder, its results to PART.json, and how it ended to parts.json. All results of
the folder, also those of earlier calls, are compared with the targets, or "marks"; what is missing
is "not measured".
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from gpu_marks import MARKS
from results_table import write_results
from runs import ROOT
from tabulate import tabulate

from imbdet.errors import UserError
from imbdet.programs.processes import wait_for
from imbdet.programs.program import run_program


class Part(NamedTuple):
    """A program with its arguments, and further arguments by which it is quick on a CPU."""

    command: str
    tiny: str

    def words(self, device: str, results: Path) -> list[str]:
        """The command line: a benchmark writes its results to a file, the tests have none."""
        words = shlex.split(self.command)
        if device == "cpu":
            words += shlex.split(self.tiny)
        if words[0].endswith(".py"):
            words += ["--device", device, "--json", str(results)]
        return [sys.executable, *words]


_LOSSES = "benchmarks/head_to_head.py"
_FEW_LOGITS = "--sizes 8000 --columns 8 --positives 500 --repetitions 1 --losses AP"
_ITERATION = "benchmarks/iteration.py --images 2 --threads 4"
_SMALL = "--threads 1 --images 1 --size 96 128 --pairs 1 --iterations 1"
PARTS = {
    "losses": Part(
        f"{_LOSSES} --sizes 1.6e7 --positives 500 10000", f"{_FEW_LOGITS} --backends triton"
    ),
    "sizes": Part(
        f"{_LOSSES} --sizes 1e5 1e6 1e7 3e7 --losses AP aLRP 'Rank & Sort' --backends triton",
        f"{_FEW_LOGITS} --backends torch",
    ),
    "growth": Part(
        "benchmarks/losses.py --threads 4", "--threads 1 --quick --only positives --repetitions 1"
    ),
    "retinanet": Part(f"{_ITERATION} --only pairs memory stages methods", f"{_SMALL} --methods AP"),
    "retinanet_speed": Part(f"{_ITERATION} --only speed amp", f"{_SMALL} --only amp"),
    "faster_rcnn": Part(
        f"{_ITERATION} --detector faster_rcnn --only pairs memory stages methods",
        f"{_SMALL} --methods PISA",
    ),
    "faster_rcnn_speed": Part(
        f"{_ITERATION} --detector faster_rcnn --only speed amp", f"{_SMALL} --only amp"
    ),
    "samplers": Part(
        "benchmarks/samplers.py --only parts --images 2 --iterations 9 --threads 4",
        "--threads 1 --quick",
    ),
    "tests": Part("-m pytest -q --gpu tests/test_gpu.py", ""),
}


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: output/on_DEVICE")
    args = parser.parse_args(argv)
    args.output = args.output or ROOT / "output" / f"on_{args.device}"
    return args


def measure(name: str, device: str, folder: Path) -> int:
    """Run a part, keep how it ended, and return its status."""
    command = PARTS[name].words(device, folder / f"{name}.json")
    # Without a GPU, kernels of Triton run in its interpreter.
    environment = {**os.environ, "TRITON_INTERPRET": "1"} if device == "cpu" else None
    log, start = folder / f"{name}.log", time.monotonic()
    with log.open("w") as file:
        output = {"stdout": file, "stderr": subprocess.STDOUT}
        status = wait_for(command, cwd=ROOT, env=environment, **output)
    seconds = round(time.monotonic() - start)
    last = log.read_text(errors="replace").strip().rpartition("\n")[-1]
    ended = {"command": shlex.join(command), "status": status, "seconds": seconds, "last": last}
    write_results(folder / "parts.json", {**read(folder / "parts.json"), name: ended})
    how = "done" if status == 0 else f"failed with status {status}, see {log}"
    print(f"{name}: {how} after {seconds} s: {last}", flush=True)
    return status


def judge(folder: Path) -> list[dict[str, Any]]:
    """A row for each mark, by all that is in a folder of results."""
    results = {name: read(folder / f"{name}.json") for name in PARTS}
    rows = [mark.judge(results) for mark in MARKS]
    tests = read(folder / "parts.json").get("tests")
    of = tests and tests["last"]
    # Where all are skipped, as without a GPU, pytest ends with status 0, too.
    has_passed = tests and tests["status"] == 0 and " passed" in of
    reached = "not measured" if tests is None else "yes" if has_passed else "no"
    return [*rows, {"figure": "tests/test_gpu.py", "of": of, "mark": "pass", "reached": reached}]


def read(path: Path) -> dict[str, Any]:
    """Results of a file, none if it is not there."""
    return json.loads(path.read_text()) if path.exists() else {}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, then print the marks. Returns 1 if a part failed."""
    args = parse_args(argv)
    if args.device == "cuda" and args.only and not torch.cuda.is_available():
        raise UserError(
            "There is no GPU that torch sees: these figures need one. `--device cpu` tries the "
            "program without."
        )
    args.output.mkdir(parents=True, exist_ok=True)
    statuses = [measure(name, args.device, args.output) for name in args.only]
    print(tabulate(judge(args.output), headers="keys", floatfmt=",.3f"))
    if args.device == "cpu":
        print("These figures are of tiny inputs on a CPU: they say nothing of a GPU.")
    return int(any(statuses))


if __name__ == "__main__":
    sys.exit(run_program(main, output="the folder of --output"))
