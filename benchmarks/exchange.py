#!/usr/bin/env python
"""What the global scope costs the classification losses: bytes and time, in processes on the CPU.

    python benchmarks/exchange.py                                  # two processes, a minute or two
    python benchmarks/exchange.py --only bytes --processes 4 --positives 1000

Bytes are those that a process hands over for the others. On their way, all-gather brings those of
W - 1 others to each process, and all-reduce sends about twice its own. Times are those of the first
process, medians over repetitions in turns: of its own CPU time and of the wall clock.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from losses import NUM_CLASSES, Problem, make_problem
from measuring import compare, time_in_turns
from sections import run_sections, section_parser
from torch import Tensor, distributed
from torch.distributed import ProcessGroup

from imbdet import losses
from imbdet.programs.program import run_program

Rows = list[dict[str, Any]]

LOSSES: dict[str, Callable[[Problem, ProcessGroup | None], Tensor]] = {
    "AP": lambda p, group: losses.ap_loss(*p[:2], group=group),
    "AUC": lambda p, group: losses.auc_loss(*p[:2], group=group),
    "aLRP": lambda p, group: sum(losses.alrp_loss(*p[:3], group=group)),
    "Rank & Sort": lambda p, group: sum(losses.rank_sort_loss(*p[:3], group=group)),
    "DR": lambda p, group: losses.dr_loss(*p[:2], group=group),
    "GHM-C": lambda p, group: losses.GHMCLoss()(*p[:2], group=group).sum(),
}
COLLECTIVES = ("all_reduce", "all_gather_into_tensor")


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = section_parser(__doc__, SECTIONS, cpu_only=True)
    parser.add_argument("--processes", type=int, default=2, metavar="W")
    parser.add_argument("--logits", type=float, default=1e6, metavar="N", help="of each process")
    parser.add_argument("--positives", type=int, default=500, metavar="P", help="of each process")
    parser.add_argument("--repetitions", type=int, default=9, metavar="N")
    parser.set_defaults(dtype="float32")
    return parser.parse_args()


def in_processes(measure: Callable[[argparse.Namespace], Rows], args: argparse.Namespace) -> Rows:
    """The rows that the first of several processes measures while all do the same."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_call, (measure, args, folder), args.processes)
        return torch.load(Path(folder) / "rows.pt")


def _call(
    rank: int, measure: Callable[[argparse.Namespace], Rows], args: argparse.Namespace, folder: str
) -> None:
    torch.set_num_threads(args.threads)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=args.processes
    )
    rows = measure(args)
    if rank == 0:
        torch.save(rows, Path(folder) / "rows.pt")
    distributed.destroy_process_group()


def run(name: str, problem: Problem, group: ProcessGroup | None) -> None:
    """Do a forward and a backward pass."""
    problem.logits.grad = None
    LOSSES[name](problem, group).backward()


def measure_bytes(args: argparse.Namespace) -> Rows:
    """Bytes of each loss, for positives in all processes together."""
    spies = {
        name: mock.patch.object(distributed, name, wraps=getattr(distributed, name)).start()
        for name in COLLECTIVES
    }
    rows = []
    for num_positives in (args.positives, 10 * args.positives):
        problem = make_problem(NUM_CLASSES * num_positives, num_positives, "spread", args)
        for name in LOSSES:
            run(name, problem, distributed.group.WORLD)
            reduced = [call.args[0].nbytes for call in spies["all_reduce"].call_args_list]
            gathered = [
                call.args[1].nbytes for call in spies["all_gather_into_tensor"].call_args_list
            ]
            rows.append(
                {
                    "positives": args.processes * num_positives,
                    "loss": name,
                    "collectives": len(reduced) + len(gathered),
                    "gathered": sum(gathered),
                    "reduced": sum(reduced),
                }
            )
            for spy in spies.values():
                spy.reset_mock()
    return rows


def measure_time(args: argparse.Namespace) -> Rows:
    """Milliseconds of a forward and a backward pass of each loss."""
    problem = make_problem(args.logits, args.positives, "spread", args)
    rows = []
    for name in LOSSES:
        contenders = {
            "batch": lambda name=name: run(name, problem, None),
            "global": lambda name=name: run(name, problem, distributed.group.WORLD),
        }
        timings = time_in_turns(contenders, args.repetitions, args.device)
        ratio, low, high = compare(timings["global"].cpu, timings["batch"].cpu)
        rows.append(
            {
                "loss": name,
                **{
                    f"{scope} {clock}": 1e3 * statistics.median(getattr(timing, clock))
                    for clock in ("cpu", "wall")
                    for scope, timing in timings.items()
                },
                "cpu ratio": ratio,
                "low": low,
                "high": high,
            }
        )
    return rows


def bytes_section(args: argparse.Namespace) -> Rows:
    """Bytes that a process hands over, for positives in all processes together."""
    return in_processes(measure_bytes, args)


def time_section(args: argparse.Namespace) -> Rows:
    """Milliseconds of a forward and backward pass in batch and in global scope."""
    return in_processes(measure_time, args)


SECTIONS = {"bytes": bytes_section, "time": time_section}


def main() -> None:
    """Run the sections and print their tables."""
    args = parse_args()
    setting = {"processes": args.processes, "logits": args.logits, "positives": args.positives}
    run_sections(SECTIONS, args, **setting)


if __name__ == "__main__":
    sys.exit(run_program(main, output="the file of --json"))
