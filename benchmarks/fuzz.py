#!/usr/bin/env python
"""Give the programs hostile inputs of fixed seeds, and count their answers.

Each input, annotations, a config, a checkpoint or a command line, is made by chance of a seed, and
given to a program in a process of its own, which may neither take more than a minute nor gigabytes.
An input may be accepted, or be refused in a sentence with status 2. Everything else is a fault.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from fuzzing import annotations, checkpoints, command_lines, configs
from fuzzing.answers import answer_to
from tabulate import tabulate

from imbdet.programs.program import run_program

# Functions that make inputs, and the default number of these, by the name of their kind.
KINDS = {
    "annotations": (annotations, 300),
    "configs": (configs, 350),
    "checkpoints": (checkpoints, 200),
    "command lines": (command_lines, 150),
}
OUTCOMES = ("accepted", "sentence", "traceback", "hang", "memory")
FAULTS = OUTCOMES[2:]


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND")
    parser.add_argument("--number", type=int, metavar="N", help="of inputs of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="also print what was answered")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the counts here")
    return parser.parse_args()


def fuzz(kind: str, number: int | None, seed: int, *, show: bool) -> Counter[str]:
    """Count the outcomes, and print the faults."""
    module, default = KINDS[kind]
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as root:
        generator = np.random.default_rng(seed)
        folder = Path(root, "inputs")
        folder.mkdir()
        for i, attempt in enumerate(module.tries(number or default, folder, generator)):
            answer = answer_to(attempt, folder)
            if i == 0 and answer.outcome != "accepted":
                raise RuntimeError(f"{kind}, undamaged: {answer.text}")
            counts[answer.outcome] += i > 0
            if show or answer.outcome in FAULTS:
                print(
                    f"{kind} {i}, {answer.outcome}, {answer.seconds:.1f} s: {attempt.name!r:.200}"
                )
                print("    " + "\n    ".join(answer.text.splitlines()[-5:]))
    return counts


def main() -> int:
    """Try all inputs, and return 0 if there was no fault."""
    args = parse_args()
    torch.set_num_threads(1)
    counts = {kind: fuzz(kind, args.number, args.seed, show=args.show) for kind in args.only}
    rows = [[kind, *(found[outcome] for outcome in OUTCOMES)] for kind, found in counts.items()]
    print(tabulate(rows, ["", *OUTCOMES]))
    if args.json:
        args.json.write_text(json.dumps(counts))
    return int(any(found[fault] for found in counts.values() for fault in FAULTS))


if __name__ == "__main__":
    sys.exit(run_program(main, output="the folder of temporary files"))
