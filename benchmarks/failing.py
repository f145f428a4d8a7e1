"""Small trainings in processes of their own, which fail at chosen moments."""

import contextlib
import io
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import torch
from torch.utils import tensorboard  # noqa: F401  (see below)

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # for train_net

import train_net  # noqa: E402
from imbdet.engine import Trainer, checkpoint_file  # noqa: E402
from imbdet.engine.checkpoint_folder import CheckpointFolder  # noqa: E402

# This imports pandas, if it is installed: once here, as tensorboard, and not in each process.
pyarrow.array(np.zeros(1), mask=np.zeros(1, dtype=bool))

CONFIG = ROOT / "configs" / "quick_start" / "retinanet.yaml"
# Metrics that depend on the load of the machine, and not on the training.
CLOCKS = {"time", "data_time", "rank_data_time", "eta_seconds"}
KEYS = {
    "MODEL.RESNETS.DEPTH": 50,
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 8,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 16,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 4,
    "MODEL.FPN.OUT_CHANNELS": 16,
    "MODEL.RETINANET.NUM_CONVS": 1,
    # Random numbers and running quantities, which a checkpoint must not forget.
    "MODEL.SAMPLER.NEGATIVE.NAME": "random",
    "MODEL.CLS_LOSS.NAME": "ghm_c",
    "DATASETS.SHAPES.NUM_TRAIN": 12,
    "DATASETS.SHAPES.NUM_VAL": 4,
    "DATASETS.SHAPES.IMAGE_SIZE": 64,
    "DATASETS.SHAPES.OBJECT_SIZE": "(8, 32)",
    "DATASETS.SHAPES.EMPTY_FRACTION": 0.0,
    "DATASETS.SHAPES.CROWD_FRACTION": 0.0,
    "INPUT.MIN_SIZE_TRAIN": "(48, 64, 96)",
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.MAX_ITER": 24,
    "SOLVER.STEPS": "(20,)",
    "SOLVER.CHECKPOINT_PERIOD": 5,
    "SOLVER.CHECKPOINT_KEEP": 3,
    "TEST.EVAL_PERIOD": 10,
    "TEST.NUM_PICTURES": 0,
    "RECORD.PERIOD": 1,
    # The ledger, on which batches and the weights of objects depend.
    "LEDGER.ENABLED": True,
    "LEDGER.FEEDBACK.PERIOD": 5,
    "LEDGER.FEEDBACK.OBJECT_WEIGHTS": True,
    "LEDGER.FEEDBACK.WARMUP_ITERS": 0,
    "DATALOADER.SAMPLER_TRAIN": "LedgerTrainingSampler",
}


def train(folder: Path, *flags: str, fault: Callable[[], None] | None = None, **keys: Any) -> int:
    """Train in a process of its own, with all imports done, and return its exit status.

    Args:
        folder: output folder.
        flags: flags such as ``--resume``.
        fault: function that prepares the process to fail.
        keys: keys of the config, with "__" for ".", and their values.
    """
    argv = ["--config-file", str(CONFIG), *flags, "OUTPUT_DIR", str(folder), *options(**keys)]

    def run() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "console.txt", "ab") as console:
            os.dup2(console.fileno(), 1)
            os.dup2(console.fileno(), 2)
        if fault is not None:
            fault()
        sys.exit(train_net.main(argv))

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    return process.exitcode


def options(**keys: Any) -> list[str]:
    """Overrides of the config, ``KEYS`` and these."""
    keys = {**KEYS, **{key.replace("__", "."): value for key, value in keys.items()}}
    return [str(x) for pair in keys.items() for x in pair]


def die() -> None:
    """End the process at once, without a message and with nothing finished."""
    os.kill(os.getpid(), signal.SIGKILL)


def before_step(number: int, action: Callable[[], None]) -> None:
    """Act before the ``number``-th step of this process."""
    run_step, countdown = Trainer.run_step, iter(range(number, -1, -1))

    def act_and_run(self: Trainer) -> None:
        if next(countdown, None) == 0:
            action()
        run_step(self)

    Trainer.run_step = act_and_run


def die_in_step(number: int) -> None:
    """Die between two steps."""
    before_step(number, die)


def kill_worker(number: int, stamp: Path) -> None:
    """Kill a process that reads images between two steps, and make the file ``stamp``."""

    def act() -> None:
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        stamp.touch()

    before_step(number, act)


def die_while_writing(number: int) -> None:
    """Die when half of a checkpoint is on the disk, the ``number``-th one of this process."""
    whole, countdown = checkpoint_file.replacing, iter(range(number, -1, -1))

    @contextlib.contextmanager
    def half(path: Path) -> Iterator[Path]:
        with whole(path) as draft:
            yield draft
            if next(countdown, None) == 0:
                os.truncate(draft, draft.stat().st_size // 2)
                die()

    checkpoint_file.replacing = half


def die_before_tag(number: int) -> None:
    """Die when a checkpoint is written, but not yet known as the last one."""
    set_tag, countdown = CheckpointFolder.set_tag, iter(range(number, -1, -1))

    def die_or_set(self: CheckpointFolder, name: str) -> None:
        if next(countdown, None) == 0:
            die()
        set_tag(self, name)

    CheckpointFolder.set_tag = die_or_set


def result_of(folder: Path) -> dict[str, Any]:
    """All that a training leaves, without measured times."""
    state = torch.load(folder / "model_final.pth", weights_only=True)
    scalars = state["trainer"]["hooks"]["CurveWriter"]["scalars"]
    for name in CLOCKS:
        scalars.pop(name, None)
    content = io.BytesIO()
    torch.save(state, content)
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    return {
        "checkpoint": content.getvalue(),
        "metrics": [{k: v for k, v in line.items() if k not in CLOCKS} for line in lines],
        "records": {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted((folder / "records").rglob("part-*"))
        },
        "ledger": {path.name: path.read_bytes() for path in folder.glob("ledger/*.parquet")},
    }
