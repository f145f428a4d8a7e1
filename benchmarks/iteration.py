#!/usr/bin/env python
"""Whole iterations: detectron2's detectors beside ours, where the time goes, and each method.

    python benchmarks/iteration.py                                   # RetinaNet, all sections
    python benchmarks/iteration.py --detector faster_rcnn --only pairs --size 320 480
    python benchmarks/iteration.py --dataset coco_2017_val --opts INPUT.MIN_SIZE_TRAIN "(800,)"
    python benchmarks/iteration.py --quick

Both learn from the same batches in turns, with the same weights. On a CPU the seconds are those
of the process, on a GPU those of the wall clock. Intervals are bootstrap intervals of 95 %. Batches
are images of noise, or with --dataset real ones, which makes loading them a stage of its own.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator, Mapping
from itertools import cycle, islice
from typing import Any

import numpy as np
import torch
from detectors import (
    LOSSES,
    METHODS,
    SPEEDS,
    Training,
    build_detector,
    load_detector_config,
    make_batch,
)
from measuring import median_interval, now, peak_memory
from sections import run_sections, section_parser
from stage_timer import STAGES, StageTimer

from imbdet.data import build_train_loader, register_datasets
from imbdet.learning import learners_of
from imbdet.programs.program import run_program
from imbdet.records import SampleRecord
from imbdet.records.ledger import Ledger
from imbdet.records.sights import Sights
from imbdet.wording import counted

DATA, BACKWARD, UPDATE, OTHER = "data", "backward", "optimizer", "other"


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = section_parser(__doc__, SECTIONS)
    parser.add_argument("--detector", choices=METHODS, default="retinanet")
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help="of 'methods'")
    two = {"type": int, "nargs": 2, "metavar": ("HEIGHT", "WIDTH")}
    parser.add_argument("--size", **two, default=[800, 1216], help="of the images of noise")
    parser.add_argument("--images", type=int, default=1, metavar="N", help="of a batch")
    parser.add_argument("--boxes", type=int, default=12, metavar="N", help="objects of an image")
    parser.add_argument("--dataset", metavar="NAME", help="take images from here")
    parser.add_argument("--pairs", type=int, default=30, metavar="N", help="or turns of 'methods'")
    parser.add_argument("--iterations", type=int, default=5, metavar="N", help="of 'stages'")
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY VALUE")
    parser.add_argument("--quick", action="store_true", help="small images, few repetitions")
    args = parser.parse_args()
    methods = {**METHODS[args.detector], **LOSSES[args.detector]}
    args.methods = args.methods or list(methods)
    if unknown := set(args.methods) - set(methods):
        parser.error(f"no method {', '.join(sorted(unknown))}: choose from {', '.join(methods)}")
    if args.quick:
        args.size, args.iterations, args.pairs = [96, 128], 2, 3
        args.methods = args.methods[:2]
    return args


def build(
    method: str, args: argparse.Namespace, *, detectron2: bool = False, amp: bool = False
) -> Training:
    """A detector in training, maybe in mixed precision; all have the same weights."""
    model = build_detector(
        args.detector, method, args.opts, device=args.device, detectron2=detectron2
    )
    return Training(model, amp=amp)


def batches(args: argparse.Namespace) -> Iterator[list[dict[str, Any]]]:
    """Batches without end, loaded when they are asked for."""
    if args.dataset is None:
        return cycle([make_batch(args.images, args.size, args.boxes)])
    opts = [
        *args.opts,
        *("DATASETS.TRAIN", repr((args.dataset,))),
        *("SOLVER.IMS_PER_BATCH", str(args.images)),
        *("DATALOADER.NUM_WORKERS", "0"),
    ]
    cfg = load_detector_config(args.detector, "plain", opts, device=args.device)
    register_datasets(cfg)
    return iter(build_train_loader(cfg))


def in_turns(contenders: Mapping[str, Training], args: argparse.Namespace) -> dict[str, np.ndarray]:
    """Seconds (pairs,) of the iterations of each training; in a turn all have the same batch."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for i, batch in enumerate(islice(batches(args), 1 + args.pairs)):  # the first one warms up
        for name in order if i % 2 else reversed(order):
            start = now(args.device)
            contenders[name].step(batch, seed=i)
            seconds[name].append(now(args.device) - start)
    return {name: np.array(values[1:]) for name, values in seconds.items()}


def time_pairs(args: argparse.Namespace) -> list[dict[str, Any]]:
    """An iteration of ours over one of detectron2's, same configuration; goal: high <= 1.02."""
    pair = {
        "detectron2": build("plain", args, detectron2=True),
        "imbdet": build("plain", args),
    }
    seconds = in_turns(pair, args)
    ratio, low, high = median_interval(seconds["imbdet"] / seconds["detectron2"])
    milliseconds = {f"{name} [ms]": 1e3 * np.median(values) for name, values in seconds.items()}
    return [{"detector": args.detector, **milliseconds, "ratio": ratio, "low": low, "high": high}]


def time_ledger(args: argparse.Namespace) -> list[dict[str, Any]]:
    """An iteration with the ledger of objects over one without; goal: 'ledger [%]' <= 1."""
    pair = {"without": build("plain", args), "with": build("plain", args)}
    ledger, looked = Ledger(args.images * args.boxes, args.images), []

    def look(record: SampleRecord) -> None:
        start = now(args.device)
        candidates = record.samples.candidates
        objects = torch.arange(len(candidates.targets))
        images = torch.arange(len(candidates.num_per_image))
        to_file = torch.tensor([[1.0, 1.0], [0.0, 0.0]]).expand(args.images, 2, 2)
        sights = Sights.of(
            record, iteration=len(looked), objects=objects, images=images, to_file=to_file
        )
        ledger.add(sights)
        looked.append(now(args.device) - start)

    learners_of(pair["with"].model)[-1].record_sinks.append(look)
    seconds = in_turns(pair, args)
    ratio, low, high = median_interval(seconds["with"] / seconds["without"])
    own = np.median(looked[1:])
    columns = {f"{name} [ms]": 1e3 * np.median(values) for name, values in seconds.items()}
    columns |= {"ledger [ms]": 1e3 * own, "ledger [%]": 100 * own / np.median(seconds["without"])}
    return [{"detector": args.detector, **columns, "ratio": ratio, "low": low, "high": high}]


def compare_memory(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Peak memory of an iteration beyond the detector and its optimizer, in MiB (median of 3)."""
    batch = next(batches(args))
    peaks = {}
    for name, detectron2 in (("detectron2", True), ("imbdet", False)):
        training = build("plain", args, detectron2=detectron2)
        training.step(batch, seed=0)  # the optimizer's state and all caches
        peaks[name] = statistics.median(
            peak_memory(lambda: training.step(batch, seed=0), args.device)  # noqa: B023
            for _ in range(3)
        )
    ratio = peaks["imbdet"] / peaks["detectron2"]
    mebibytes = {f"{name} [MiB]": peak / 2**20 for name, peak in peaks.items()}
    return [{"detector": args.detector, **mebibytes, "ratio": ratio}]


def time_stages(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Stages of an iteration (medians, in ms and % of the whole)."""
    pair = {
        "detectron2": build("plain", args, detectron2=True),
        "imbdet": build("plain", args),
    }
    timers = {name: StageTimer(training.model, args.device) for name, training in pair.items()}
    sources = {name: batches(args) for name in pair}
    iterations: dict[str, list[dict[str, float]]] = {name: [] for name in pair}
    order = list(pair)
    for i in range(1 + args.iterations):  # the first one warms up
        for name in order if i % 2 else reversed(order):
            timer = timers[name]
            timer.clear()
            timer.measure(OTHER, _iterate, pair[name], sources[name], timer, i)
            iterations[name].append(dict(timer.seconds))
    rows = []
    for name, measured in iterations.items():
        columns = dict.fromkeys([DATA, *(s for s, _ in STAGES), BACKWARD, UPDATE, OTHER])
        medians = {
            stage: statistics.median(seconds.get(stage, 0.0) for seconds in measured[1:])
            for stage in columns
        }
        whole = sum(medians.values())
        for stage, value in medians.items():
            if value > 0:
                share = 100 * value / whole
                rows.append({"detector": name, "stage": stage, "ms": 1e3 * value, "%": share})
        rows.append({"detector": name, "stage": "whole", "ms": 1e3 * whole, "%": 100.0})
    return rows


def _iterate(
    training: Training, source: Iterator[list[dict[str, Any]]], timer: StageTimer, seed: int
) -> None:
    batch = timer.measure(DATA, next, source)
    loss = training.forward(batch, seed)
    timer.measure(BACKWARD, loss.backward)
    timer.measure(UPDATE, training.update)


def time_methods(args: argparse.Namespace) -> list[dict[str, Any]]:
    """An iteration with a method over a plain one of the same turn; 'plain' itself is the noise."""
    others = {method: build(method, args) for method in args.methods}
    return _compare("plain", build("plain", args), others, args)


def time_speed(args: argparse.Namespace) -> list[dict[str, Any]]:
    """An iteration with keys of MODEL.SPEED over a plain one of the same turn."""
    others = {speed: build(speed, args) for speed in SPEEDS}
    return _compare("plain", build("plain", args), others, args)


def time_amp(args: argparse.Namespace) -> list[dict[str, Any]]:
    """An iteration with keys of MODEL.SPEED, or SOLVER.AMP, over one of detectron2's with AMP."""
    others = {speed: build(speed, args) for speed in SPEEDS}
    others["SOLVER.AMP"] = build("plain", args, amp=True)
    detectron2 = build("plain", args, detectron2=True, amp=True)
    return _compare("detectron2", detectron2, others, args)


def _compare(
    name: str, training: Training, others: Mapping[str, Training], args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Iterations of other trainings over those of the named one, in turns."""
    seconds = in_turns({"": training, **others}, args)
    reference = seconds.pop("")
    milliseconds = {f"{name} [ms]": 1e3 * np.median(reference)}
    rows = []
    for method, values in seconds.items():
        ratio, low, high = median_interval(values / reference)
        rows.append({"method": method, **milliseconds, "ratio": ratio, "low": low, "high": high})
    return rows


SECTIONS = {
    "pairs": time_pairs,
    "ledger": time_ledger,
    "memory": compare_memory,
    "stages": time_stages,
    "methods": time_methods,
    "speed": time_speed,
    "amp": time_amp,
}


def main() -> None:
    """Run the sections and print their tables."""
    args = parse_args()
    noise = f"noise, {args.size[0]} x {args.size[1]}, {counted(args.boxes, 'object')}"
    run_sections(
        SECTIONS,
        args,
        detector=args.detector,
        images=f"{args.dataset or noise}, {args.images} a batch",
        pairs=args.pairs,
    )


if __name__ == "__main__":
    sys.exit(run_program(main, output="the file of --json"))
