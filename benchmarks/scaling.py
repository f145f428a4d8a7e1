#!/usr/bin/env python
"""One process and several: seconds per iteration, and the bytes that they exchange.

    python benchmarks/scaling.py                     # 1 and 2 processes, on a quiet machine
    python benchmarks/scaling.py --quick
    python benchmarks/scaling.py --processes 1 2 4 --models R18

Processes are those of `train_net.py --num-processes`: gloo on the CPU, a thread each. The iteration
is detectron2's, with its exchange of metrics, on images of noise. The batch is constant in each
process (weak scaling) or in all together (strong scaling). Seconds are those of the wall clock,
medians over turns of the jobs one after the other, with bootstrap intervals of 95 %; bytes are what
a process hands to collective operations in an iteration, counted.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from detectors import build_detector, make_batch
from measuring import median_interval
from sections import run_sections, section_parser
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from imbdet.engine import launch
from imbdet.programs.program import run_program

# isort: split
from detectron2.engine import SimpleTrainer
from detectron2.utils import comm
from detectron2.utils.events import EventStorage

MODELS = {
    "tiny": "MODEL.RESNETS.STEM_OUT_CHANNELS 8 MODEL.RESNETS.WIDTH_PER_GROUP 8 "
    "MODEL.RESNETS.RES2_OUT_CHANNELS 32 MODEL.FPN.OUT_CHANNELS 32 MODEL.RETINANET.NUM_CONVS 1",
    "R18": "MODEL.RESNETS.DEPTH 18 MODEL.RESNETS.RES2_OUT_CHANNELS 64",
    "R50": "",
}
METHODS = {"focal": "plain", "AP, global": "AP"}
OPTS = {"focal": "", "AP, global": "MODEL.CLS_LOSS.SCOPE global"}

# Collective operations of Python by the place of the tensor that a process hands over.
OPERATIONS = {
    "all_reduce": 0,
    "reduce": 0,
    "gather": 0,
    "all_gather": 1,
    "all_gather_into_tensor": 1,
}
GRADIENTS, ALL = "gradients", "all"

ONE_MACHINE = dict(num_gpus=1, num_machines=1, machine_rank=0, dist_url="auto", timeout=600)


class Job(NamedTuple):
    """Processes that train together."""

    model: str
    method: str
    num_processes: int
    num_images: int  # of each process

    def run(self, args: argparse.Namespace) -> dict[str, Any]:
        """Seconds of each iteration, and bytes of one."""
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "result.json"
            start = argparse.Namespace(num_processes=self.num_processes, **ONE_MACHINE)
            status = launch(lambda _: self._measure(args, result), start)
            if status != 0:
                sys.exit(status)
            return json.loads(result.read_text())

    def _measure(self, args: argparse.Namespace, result: Path) -> None:
        torch.set_num_threads(args.threads)
        opts = [*MODELS[self.model].split(), *OPTS[self.method].split()]
        model = build_detector("retinanet", METHODS[self.method], opts, device="cpu")
        sent: Counter[str] = Counter()
        if comm.get_world_size() > 1:
            model = DistributedDataParallel(model, broadcast_buffers=False)
            model.register_comm_hook(sent, _count_gradients)
            _count_operations(sent)
        batch = make_batch(self.num_images, args.size, args.boxes)
        parameters = [p for p in model.parameters() if p.requires_grad]
        trainer = SimpleTrainer(model, repeat(batch), torch.optim.SGD(parameters, lr=0.0))
        seconds = []
        with EventStorage() as storage:
            for _ in range(args.warm_up + args.iterations):
                sent.clear()
                begin = time.perf_counter()
                trainer.run_step()
                seconds.append(time.perf_counter() - begin)
                storage.step()
        if comm.is_main_process():
            result.write_text(json.dumps({"seconds": seconds[args.warm_up :], "sent": sent}))


def _count_gradients(
    sent: Counter[str], bucket: dist.GradBucket
) -> torch.futures.Future[torch.Tensor]:
    sent[GRADIENTS] += bucket.buffer().nbytes
    return allreduce_hook(None, bucket)


def _count_operations(sent: Counter[str]) -> None:
    for name, place in OPERATIONS.items():
        setattr(dist, name, _counting(getattr(dist, name), place, sent))


def _counting(run: Callable, place: int, sent: Counter[str]) -> Callable:
    def counted(*args: Any, **kwargs: Any) -> Any:
        sent[ALL] += args[place].nbytes
        return run(*args, **kwargs)

    return counted


def _rows(args: argparse.Namespace, *, is_constant_in_all: bool) -> Iterator[dict[str, Any]]:
    for model in args.models:
        for method in METHODS:
            jobs = [
                Job(model, method, n, args.images // n if is_constant_in_all else args.images)
                for n in args.processes
            ]
            turns = [[job.run(args) for job in jobs] for _ in range(args.turns)]
            first = None
            for job, results in zip(jobs, zip(*turns, strict=True), strict=True):
                seconds = np.concatenate([result["seconds"] for result in results])
                median, low, high = median_interval(seconds)
                speed = job.num_processes * job.num_images / median
                first = first or speed
                sent = {GRADIENTS: 0, ALL: 0, **results[0]["sent"]}
                yield {
                    **job._asdict(),
                    "s/iter": f"{median:.3f} [{low:.3f}, {high:.3f}]",
                    "images/s, ratio": speed / first,
                    "gradients [MB]": sent[GRADIENTS] / 1e6,
                    "others [kB]": (sent[ALL] - sent[GRADIENTS]) / 1e3,
                }


def weak(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The same number of images in each process."""
    return list(_rows(args, is_constant_in_all=False))


def strong(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The same number of images in all processes together."""
    return list(_rows(args, is_constant_in_all=True))


SECTIONS = {"weak": weak, "strong": strong}


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = section_parser(__doc__, SECTIONS, cpu_only=True)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["tiny", "R18"])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--images", type=int, default=4, metavar="N", help="of a batch")
    two = {"type": int, "nargs": 2, "metavar": ("HEIGHT", "WIDTH")}
    parser.add_argument("--size", **two, default=[320, 480], help="of the images")
    parser.add_argument("--boxes", type=int, default=12, metavar="N", help="objects of an image")
    parser.add_argument("--iterations", type=int, default=10, metavar="N", help="of a turn")
    parser.add_argument("--turns", type=int, default=3, metavar="N")
    parser.add_argument("--warm-up", type=int, default=2, metavar="N", help="iterations before")
    parser.add_argument("--quick", action="store_true", help="small images, few repetitions")
    args = parser.parse_args()
    if any(args.images % n for n in args.processes):
        parser.error("--images must be a multiple of all --processes")
    if args.quick:
        args.size, args.iterations, args.turns, args.models = [96, 128], 3, 1, ["tiny"]
    return args


def main() -> None:
    """Measure and print."""
    args = parse_args()
    run_sections(SECTIONS, args, cores=os.cpu_count(), images=args.images, size=args.size)


if __name__ == "__main__":
    sys.exit(run_program(main, output="the file of --json"))
