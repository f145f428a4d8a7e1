#!/usr/bin/env python
"""Break trainings in the ways that happen, and count what they survive.

- Small trainings on the CPU are killed (`kill -9`) several times, in an iteration, when half of a
  checkpoint is on the disk or before it is known as the last one, and resumed with another number
  of reading processes. Weights, optimizer, random numbers, losses, records, the ledger and what it
  rules must be those of a training that was left alone, to the last bit.
- Checkpoints are cut off and single bytes changed. The one before must be found.
- Images are broken. They must be named, and training must go on or stop as the key says.
- Processes that read images are killed. Training must end with a sentence, and go on if resumed.
"""

import argparse
import functools
import itertools
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from failing import (
    CONFIG,
    die_before_tag,
    die_in_step,
    die_while_writing,
    kill_worker,
    options,
    result_of,
    train,
)
from tabulate import tabulate

from imbdet.config import load_config
from imbdet.data import build_train_loader, register_datasets
from imbdet.engine.checkpoint_folder import CheckpointFolder
from imbdet.errors import UserError
from imbdet.programs.program import run_program

from detectron2.data import DatasetCatalog  # isort: skip  (after imbdet)

# Largest number of times that a training is killed.
KILLS_PER_TRAINING = 4

# Numbers of faults that were survived, and that were tried.
Count = tuple[int, int]


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, metavar="N")
    parser.add_argument("--damages", type=int, default=200, metavar="N", help="of checkpoints")
    parser.add_argument("--images", type=int, default=20, metavar="N", help="that are broken")
    parser.add_argument("--worker-kills", type=int, default=5, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the counts here")
    return parser.parse_args()


def kill_trainings(
    number: int, expected: dict[str, Any], folder: Path, generator: np.random.Generator
) -> Count:
    """Kill and resume until all is as ``expected``."""
    faults = [(die_in_step, 8), (die_while_writing, 2), (die_before_tag, 2)]
    survived = tried = 0
    while tried < number:
        flags: list[str] = []
        kills = 0
        while True:
            fault = None
            if kills < min(KILLS_PER_TRAINING, number - tried):
                kind, highest = faults[(tried + kills) % len(faults)]
                at = int(generator.integers(highest))
                fault = functools.partial(kind, at)
            workers = int(generator.integers(3))
            status = train(folder, *flags, fault=fault, DATALOADER__NUM_WORKERS=workers)
            flags = ["--resume"]
            if status != -signal.SIGKILL:
                break
            kills += 1
        is_same = status == 0 and result_of(folder) == expected
        survived, tried = survived + kills * is_same, tried + max(kills, 1)
        shutil.rmtree(folder)
    return survived, tried


def damage_checkpoints(number: int, folder: Path, generator: np.random.Generator) -> Count:
    """Cut off or change the last checkpoint of a run; the one before must be found."""
    path = folder / "model_final.pth"
    content = path.read_bytes()
    detected = 0
    for i in range(number):
        at = int(generator.integers(len(content)))
        damaged = bytearray(content[:at] if i % 2 else content)
        if i % 2 == 0:
            damaged[at] ^= int(generator.integers(1, 256))
        path.write_bytes(damaged)
        detected += CheckpointFolder(folder).find_intact().name == "model_0000019.pth"
    path.write_bytes(content)
    return detected, number


def break_images(number: int, log: Path, generator: np.random.Generator) -> Count:
    """Break an image; the loader must name it, and go on or stop as the key says."""
    breakages = [
        lambda path, content: path.write_bytes(content[: generator.integers(len(content) // 2)]),
        lambda path, content: path.write_text("<html>"),
        lambda path, content: path.unlink(),
    ]
    handled = 0
    for i in range(number):
        policy, workers = ("skip", "refuse")[i % 2], int(generator.integers(3))
        keys = {"DATASETS__BROKEN_IMAGES": policy, "DATALOADER__NUM_WORKERS": workers}
        keys["DATALOADER__SAMPLER_TRAIN"] = "TrainingSampler"  # without a training
        cfg = load_config(str(CONFIG), opts=options(**keys))
        register_datasets(cfg)
        loader = build_train_loader(cfg)
        images = DatasetCatalog.get("shapes_train")
        path = Path(images[generator.integers(len(images))]["file_name"])
        content = path.read_bytes()
        log.write_text("")
        breakages[i % len(breakages)](path, content)
        try:
            batches = list(itertools.islice(loader, len(images)))  # two epochs
        except UserError as error:
            handled += policy == "refuse" and str(path) in str(error)
        else:
            used = {item["file_name"] for batch in batches for item in batch}
            handled += policy == "skip" and str(path) not in used and str(path) in log.read_text()
        path.write_bytes(content)
    return handled, number


def kill_workers(
    number: int, expected: dict[str, Any], folder: Path, generator: np.random.Generator
) -> tuple[Count, float]:
    """Kill processes that read images; also return the longest time to the end, in seconds."""
    answered, slowest = 0, 0.0
    for _ in range(number):
        at, stamp = int(generator.integers(1, 24)), folder / "killed"
        fault = functools.partial(kill_worker, at, stamp)
        status = train(folder, fault=fault, DATALOADER__NUM_WORKERS=2)
        slowest = max(slowest, time.time() - stamp.stat().st_mtime)
        is_said = "A data-loading worker died" in (folder / "console.txt").read_text()
        is_resumed = train(folder, "--resume") == 0 and result_of(folder) == expected
        answered += status == 2 and is_said and is_resumed
        shutil.rmtree(folder)
    return (answered, number), slowest


def run_all(args: argparse.Namespace, root: Path) -> dict[str, Count]:
    """Try all faults, in a temporary folder."""
    log = root / "log.txt"
    logger = logging.getLogger("imbdet")
    logger.handlers, logger.propagate = [logging.FileHandler(log)], False
    undisturbed = root / "undisturbed"
    if train(undisturbed) != 0:
        raise RuntimeError((undisturbed / "console.txt").read_text())
    expected = result_of(undisturbed)
    generator = np.random.default_rng(args.seed)
    counts = {"kills survived": kill_trainings(args.kills, expected, root / "run", generator)}
    damages = damage_checkpoints(args.damages, undisturbed, generator)
    counts["damaged checkpoints passed over"] = damages
    counts["broken images handled"] = break_images(args.images, log, generator)
    counts["killed workers answered"], slowest = kill_workers(
        args.worker_kills, expected, root / "run", generator
    )
    print(tabulate([[name, *count] for name, count in counts.items()], ["", "of", "tried"]))
    print(f"A killed worker ended a training within {slowest:.1f} s.")
    return counts


def main() -> int:
    """Try all faults, and return 0 if all were survived."""
    args = parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root:
        os.environ["DETECTRON2_DATASETS"] = str(Path(root, "datasets"))
        counts = run_all(args, Path(root))
    if args.json:
        args.json.write_text(json.dumps(counts))
    return 0 if all(survived == tried for survived, tried in counts.values()) else 1


if __name__ == "__main__":
    sys.exit(run_program(main, output="the folder of temporary files"))
