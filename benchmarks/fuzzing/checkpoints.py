"""Checkpoints of a small training whose state, weights, archive or neighbours are wrong."""

import copy
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from failing import CONFIG, options, train

from fuzzing.answers import Try

VALUES = (
    *(None, True, -1, 0, 10**30, 0.5, float("nan"), "text", b"bytes", [], {}, (), [None], {"a": 1}),
    *(torch.zeros(3), torch.full((2,), torch.nan), torch.zeros(3).to_sparse(), torch.zeros(0)),
    *(torch.zeros(2, device="meta"), torch.zeros(2, dtype=torch.complex64), torch.ones(2) > 0),
)
FILES = ("config.yaml", "last_checkpoint", "run.json", "metrics.json", "records", "model_final.pth")

# A training goes on from the folder's checkpoint for a last iteration.
TRAINING = {"SOLVER__MAX_ITER": 6, "SOLVER__STEPS": "()", "TEST__EVAL_PERIOD": 0}


def tries(number: int, folder: Path, generator: np.random.Generator) -> Iterator[Try]:
    """Damage in turns a value in the state, bytes of the file, or another file of the run."""
    os.environ["DETECTRON2_DATASETS"] = str(folder / "datasets")
    whole, output = folder / "whole", folder / "output"
    if train(whole, **{**TRAINING, "SOLVER__MAX_ITER": 5}) != 0:
        raise RuntimeError((whole / "console.txt").read_text())
    keys = options(**TRAINING)
    line = ["train_net.py", "--config-file", str(CONFIG), "--resume", "OUTPUT_DIR", str(output)]
    shutil.copytree(whole, output)
    yield Try("undamaged", [*line, *keys])
    damages = (_wrong_value, _wrong_value, _random_bytes, _other_file)
    for i in range(number):
        shutil.rmtree(output)
        shutil.copytree(whole, output)
        yield Try(damages[i % len(damages)](output, generator), [*line, *keys])


def _wrong_value(output: Path, generator: np.random.Generator) -> str:
    path = output / "model_final.pth"
    state = torch.load(path, weights_only=True)
    places = list(_places(state, ""))
    # The weights outnumber the state of the training, which matters as much.
    is_weight = bool(generator.integers(4) == 0)
    places = [place for place in places if place[0].startswith("/model/") == is_weight]
    name, put = places[generator.integers(len(places))]
    value = VALUES[generator.integers(len(VALUES))]
    put(copy.copy(value))
    content = io.BytesIO()
    torch.save(state, content)
    path.write_bytes(content.getvalue())
    return f"{name}: {type(value).__name__}"


def _places(value: Any, name: str) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """The name of each value inside of one, and a function that puts another in its place."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inside in list(items):
        if not isinstance(value, tuple):
            yield f"{name}/{key}", lambda new, key=key: value.__setitem__(key, new)
        if isinstance(inside, dict | list | tuple):
            yield from _places(inside, f"{name}/{key}")


def _random_bytes(output: Path, generator: np.random.Generator) -> str:
    # The file lacks its checksum, which would reveal each of them.
    path = output / "model_final.pth"
    content = io.BytesIO()
    torch.save(torch.load(path, weights_only=True), content)
    damaged = bytearray(content.getvalue())
    for _ in range(int(generator.integers(1, 8))):
        damaged[int(generator.integers(len(damaged)))] = int(generator.integers(256))
    path.write_bytes(damaged)
    return "bytes by chance"


def _other_file(output: Path, generator: np.random.Generator) -> str:
    path = output / FILES[generator.integers(len(FILES))]
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    makes: dict[str, Callable[[], Any]] = {
        "missing": lambda: None,
        "empty": path.touch,
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "nested": lambda: path.write_text("[" * 100_000),
        "digits": lambda: path.write_text("9" * 10_000),
        "bytes": lambda: path.write_bytes(generator.bytes(1000)),
        "cycle": lambda: path.write_text("a: &a [*a]"),
    }
    name = list(makes)[generator.integers(len(makes))]
    makes[name]()
    return f"{path.name}: {name}"
