#!/usr/bin/env python
"""Losses by each backend beside the bucketed algorithm and a loop over the positives.

    python benchmarks/head_to_head.py                                   # on a CPU, an hour
    python benchmarks/head_to_head.py --sizes 1e5 1e6 --positives 100 --losses "AP" "Rank & Sort"
    python benchmarks/head_to_head.py --device cuda                     # both backends

All take the same logits, forward and backward, in turns. Milliseconds are medians with a bootstrap
interval of 95 %: of the process's own CPU time on a CPU, otherwise of the wall clock, with the GPU
waited for. Memory is the peak beyond the logits, in units of the logits. The last columns say how
many times as long the bucketed algorithm takes, what the goals are (those in milliseconds and of
memory on a GPU, with 16 million logits) and whether they are met.
"""

import argparse
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from losses import LOSSES, NUM_CLASSES, Problem, make_problem
from measuring import Timing, compare, median_interval, peak_memory, time_in_turns
from references import (
    bucketed_ap_loss,
    bucketed_rank_sort_loss,
    pair_loop_ap_loss,
    pair_loop_rank_sort_loss,
)
from sections import run_sections, section_parser
from torch import Tensor

from imbdet.kernels.backend import choose_backend
from imbdet.programs.program import run_program

OURS = (
    *("AP", "AUC", "aLRP", "Rank & Sort", "DR", "focal", "quality focal", "varifocal", "GHM-C"),
    *("sigmoid cross-entropy", "softmax cross-entropy"),
)
# References of the losses, by loss and kind.
REFERENCES: dict[tuple[str, str], Callable[[Problem], Tensor]] = {
    ("AP", "bucketed"): lambda p: bucketed_ap_loss(*p[:2]),
    ("AP", "loop"): lambda p: pair_loop_ap_loss(*p[:2]),
    ("Rank & Sort", "bucketed"): lambda p: bucketed_rank_sort_loss(*p[:3]),
    ("Rank & Sort", "loop"): lambda p: pair_loop_rank_sort_loss(*p[:3]),
}
# Most pairs of positives and logits that a loop compares within minutes.
MOST_PAIRS = {"cpu": 1e9, "cuda": 1e11}
LOOP_REPETITIONS = 3


class Goal(NamedTuple):
    """Milliseconds and memory of a loss on 16 million logits on a GPU."""

    milliseconds: float
    memory: float = np.inf


GOALS = {
    **dict.fromkeys(("AP", "AUC", "aLRP"), Goal(1.0, 1.3)),
    "Rank & Sort": Goal(1.5),
    **dict.fromkeys(("focal", "quality focal", "varifocal"), Goal(0.3, 1.2)),
    **dict.fromkeys(("GHM-C", "DR"), Goal(1.0)),
}
GOAL_SIZE = 16_000_000
# How many times as long the bucketed algorithm should take, with these numbers of positives.
GOAL_RATIO = 10
GOAL_POSITIVES = (500, 10_000)


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = section_parser(__doc__, SECTIONS)
    parser.add_argument("--losses", nargs="+", choices=OURS, default=OURS)
    parser.add_argument("--backends", nargs="+", choices=["torch", "triton"])
    sizes, positives = [1e5, 1e6, 1e7, 1.6e7, 3e7], [100, 500, 1000, 10_000]
    parser.add_argument("--sizes", nargs="+", type=float, default=sizes, metavar="N")
    parser.add_argument("--positives", nargs="+", type=int, default=positives, metavar="P")
    parser.add_argument("--columns", type=int, default=NUM_CLASSES, metavar="K", help="of logits")
    parser.add_argument("--repetitions", type=int, default=9, metavar="N")
    parser.add_argument("--dtype", choices=["float32", "float16", "bfloat16"], default="float32")
    args = parser.parse_args()
    if args.backends is None:  # without a GPU Triton needs its interpreter, TRITON_INTERPRET=1
        args.backends = ["torch", "triton"] if args.device == "cuda" else ["torch"]
    return args


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Every loss on the same logits; rows without milliseconds did not fit the memory."""
    return [row for problem in problems(args) for row in measure_one(*problem, args)]


def problems(args: argparse.Namespace) -> Iterator[tuple[str, Problem]]:
    """The states and sizes, but those with more positives than rows."""
    for state in ("initial", "spread"):
        for size in args.sizes:
            for num_positives in args.positives:
                if num_positives <= size / args.columns:
                    yield state, make_problem(size, num_positives, state, args, args.columns)


def measure_one(state: str, problem: Problem, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of one problem."""
    num_logits, num_positives = problem.logits.numel(), len(problem.quality)
    runs = contenders(problem, args)
    memory = {key: memory_of(run, problem, args.device) for key, run in runs.items()}
    fitting = {key: run for key, run in runs.items() if memory[key] is not None}
    loops = {key: LOOP_REPETITIONS for key in fitting if key[1] == "loop"}
    timings = time_in_turns(fitting, args.repetitions, args.device, loops)
    rows = []
    for (loss, by), used in memory.items():
        row = {"state": state, "logits": num_logits, "positives": num_positives}
        row |= {"loss": loss, "by": by}
        if timing := timings.get((loss, by)):
            row |= describe(timing, used, timings.get((loss, "bucketed")), args.device)
            if by in args.backends:
                row |= judge(row, args.device)
        rows.append(row)
    return rows


def contenders(
    problem: Problem, args: argparse.Namespace
) -> dict[tuple[str, str], Callable[[], None]]:
    """Forward and backward passes, by loss and by what computes it."""

    def run(loss: Callable[[Problem], Tensor], backend: str) -> None:
        choose_backend(backend)
        problem.logits.grad = None
        loss(problem).backward()

    num_pairs = problem.logits.numel() * len(problem.quality)
    runs = {}
    for name in args.losses:
        for backend in args.backends:
            runs[name, backend] = functools.partial(run, LOSSES[name], backend)
        for key, reference in REFERENCES.items():
            is_possible = key[1] != "loop" or num_pairs <= MOST_PAIRS[args.device]
            if key[0] == name and is_possible:
                runs[key] = functools.partial(run, reference, "torch")
    return runs


def memory_of(run: Callable[[], None], problem: Problem, device: str) -> float | None:
    """Peak memory in units of the logits, after a run to warm up; None if it does not fit."""
    try:
        run()
        problem.logits.grad = None
        return peak_memory(run, device) / problem.logits.nbytes
    except torch.OutOfMemoryError:
        return None


def describe(
    timing: Timing, memory: float, bucketed: Timing | None, device: str
) -> dict[str, float]:
    """The measured columns of a row."""
    milliseconds = 1e3 * np.array(timing.seconds(device))
    columns = dict(zip(("ms", "from", "to"), median_interval(milliseconds), strict=True))
    columns["memory"] = memory
    if bucketed is not None and bucketed is not timing:
        ratio = compare(bucketed.seconds(device), timing.seconds(device))
        columns |= dict(zip(("bucketed over it", "at least", "at most"), ratio, strict=True))
    return columns


def judge(row: dict[str, Any], device: str) -> dict[str, str]:
    """The goals of a row of ours, and whether they are met."""
    goals = []
    if device == "cuda" and row["logits"] == GOAL_SIZE and (goal := GOALS.get(row["loss"])):
        goals.append((f"{goal.milliseconds} ms", row["ms"] <= goal.milliseconds))
        if goal.memory < np.inf:
            goals.append((f"memory {goal.memory}", row["memory"] <= goal.memory))
    if "bucketed over it" in row and row["positives"] in GOAL_POSITIVES:
        goals.append((f"{GOAL_RATIO} times", row["bucketed over it"] >= GOAL_RATIO))
    if not goals:
        return {}
    texts, is_met = zip(*goals, strict=True)
    return {"goal": ", ".join(texts), "met": ", ".join("yes" if met else "no" for met in is_met)}


SECTIONS = {"losses": measure}


def main() -> None:
    """Measure and print the table."""
    args = parse_args()
    run_sections(SECTIONS, args, dtype=args.dtype, backends=", ".join(args.backends))


if __name__ == "__main__":
    sys.exit(run_program(main, output="the file of --json"))
