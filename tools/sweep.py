#!/usr/bin/env python
"""Train all combinations of some choices, several seeds each, and gather the results in a table.

    python tools/sweep.py tools/sweep.yaml --output output/sweep --parallel 2

The YAML file names what all runs share, the axes with their choices, and the seeds. A choice is a
list of config files, KEY: VALUE overrides, or both; paths start at the folder of the YAML file.

    base: [../configs/quick_start/retinanet.yaml]
    axes:
      loss:
        focal: []
        ap: [../configs/Loss-AP.yaml, ../configs/Loss-GIoU.yaml]
      sampler:
        all: []
        ohem: [../configs/Sampler-OHEM-Dense.yaml, {MODEL.SAMPLER.NEG_POS_RATIO: 5.0}]
    seeds: [1, 2, 3]
    overrides: {SOLVER.MAX_ITER: 500}

Each run is `train_net.py` in a process of its own, with its own OUTPUT_DIR below `--output`, so it
can be looked at, resumed and repeated by hand. Processes of this machine are started by Python's
`concurrent.futures`, which a few long runs are no burden for and which needs no server and no
package; a cluster's own scheduler comes in by `--launcher`, which precedes each command:

    python tools/sweep.py sweep.yaml --output output/sweep --parallel 16 \\
        --launcher "srun --ntasks 1 --gres gpu:1"

The same command again repeats no run that is finished, and goes on with those that were stopped.
A run that fails is named, and the others go on. Ctrl-C and SIGTERM stop all, each with its
checkpoint. `table.csv` in `--output` has a line for each run.
"""

import argparse
import os
import queue
import shlex
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from sweep_runs import Run, read_sweep
from sweep_table import summarize, write_table
from tabulate import tabulate

from imbdet.errors import UserError
from imbdet.program import run_program
from imbdet.signals import Stopped, passing_on
from imbdet.wording import counted

TRAIN_NET = Path(__file__).resolve().parent.parent / "train_net.py"


class Sweep:
    """Runs that are trained side by side."""

    def __init__(self, runs: Sequence[Run], args: argparse.Namespace):
        """Prepare the places where a run may be; nothing is started yet."""
        self._runs = runs
        self._launcher = args.launcher
        self._places: queue.Queue[dict[str, str]] = queue.Queue()
        for place in [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in args.gpus] or [{}] * args.parallel:
            self._places.put(place)
        self._processes: set[subprocess.Popen] = set()
        self._is_stopping = False

    def train(self) -> dict[Path, str]:
        """Train what is not finished. Returns the failures by folder.

        Raises:
            Stopped: by a signal, after all runs have ended by it.
        """
        todo = [run for run in self._runs if not run.is_finished()]
        print(f"{counted(len(self._runs), 'run')}, finished: {len(self._runs) - len(todo)}")
        failures = {}
        with (
            passing_on(self._stop) as received,
            ThreadPoolExecutor(self._places.qsize()) as pool,
        ):
            jobs = {pool.submit(self._train, run): run for run in todo}
            for job in as_completed(jobs):
                run, problem = jobs[job], job.result()
                if received:
                    continue
                print(f"{'FAILED' if problem else 'done'}: {run.folder} {problem}", flush=True)
                if problem:
                    failures[run.folder] = problem
        if received:
            raise Stopped(received[0], "The same command goes on.")
        return failures

    def _train(self, run: Run) -> str:
        """Train in a process; returns what went wrong, or nothing."""
        place = self._places.get()
        try:
            if self._is_stopping:
                return "not started"
            run.write_note(finished=False)
            command = [*self._launcher, sys.executable, str(TRAIN_NET), "--resume", *run.arguments]
            command += ["OUTPUT_DIR", str(run.folder)]
            with open(run.folder / "stderr.txt", "w+") as errors:
                process = subprocess.Popen(
                    command,
                    env={**os.environ, **place},
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    start_new_session=True,  # Ctrl-C comes by way of `_stop`, once
                )
                self._processes.add(process)
                if self._is_stopping:
                    process.terminate()
                status = process.wait()
                self._processes.discard(process)
                errors.seek(0)
                lines = errors.read().strip().splitlines() or [""]
            if status == 0:
                run.write_note(finished=True)
                return ""
            return f"with exit status {status}: {lines[-1]}"
        except (OSError, UserError) as error:  # no such launcher, no space for the note, ...
            return f"with {error}"
        finally:
            self._places.put(place)

    def _stop(self, number: int) -> None:
        if not self._is_stopping:
            print("Stopping all runs, each with its checkpoint.", file=sys.stderr, flush=True)
        self._is_stopping = True
        for process in list(self._processes):
            process.terminate()


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweep", type=Path, metavar="YAML")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    places = parser.add_mutually_exclusive_group()
    places.add_argument("--parallel", type=int, default=1, metavar="N", help="runs side by side")
    places.add_argument("--gpus", nargs="+", default=[], metavar="ID", help="one run on each")
    parser.add_argument(
        "--launcher", type=shlex.split, default="", metavar="COMMAND", help="precedes each command"
    )
    args = parser.parse_args(argv)
    if args.parallel < 1:
        parser.error(f"--parallel is {args.parallel}: at least 1")
    return args


def sweep(argv: Sequence[str] | None) -> int:
    """Train, then write and print the tables. Returns the exit status."""
    args = parse_args(argv)
    runs = read_sweep(args.sweep, args.output)
    failures = Sweep(runs, args).train()
    write_table(runs, args.output / "table.csv")
    print(tabulate(summarize(runs), headers="keys", disable_numparse=True))
    finished = [str(run.folder) for run in runs if run.is_finished()]
    print(f"\nimbdet compare {shlex.join(finished)} --output {args.output / 'comparison'}")
    for folder, problem in failures.items():
        print(f"error: {folder} failed {problem}", file=sys.stderr)
    return 1 if failures else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run, and tell a user's mistake in a sentence. Returns the exit status."""
    return run_program(lambda: sweep(argv), output="the folder of --output")


if __name__ == "__main__":
    sys.exit(main())
