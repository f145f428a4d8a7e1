"""Annotation files in COCO format with values of every wrong kind, or damaged as a text."""

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from failing import CONFIG, options
from PIL import Image

from fuzzing.answers import Try

VALUES = (
    *(None, True, False, -1, 0, 1, 0.5, 7.0, 10**30, -(10**400), float("nan"), float("-inf")),
    *("", "text", "10", "a\nb\x1b[31m", "\ud800", "\0", "0" * 500, [], [None], [[]], [[1, 2]], {}),
    *([0, 5, 7, 2], [[0, 5], [7, 2]], [1e9] * 6, {"size": [48, 64], "counts": [5]}, {"a": 1}),
    *({"size": [48, 64], "counts": "0"}, {"size": [48, 64], "counts": [3073]}, {"counts": []}),
)

# Two steps and an evaluation: what is read is used.
KEYS = {
    "SOLVER__MAX_ITER": 2,
    "SOLVER__STEPS": "()",
    "TEST__EVAL_PERIOD": 0,
    "RECORD__PERIOD": 0,
    "DATASETS__TRAIN": "('fuzzed',)",
    "DATASETS__TEST": "('fuzzed',)",
    "DATALOADER__NUM_WORKERS": 0,
    "MODEL__SAMPLER__NEGATIVE__NAME": "",
    "MODEL__CLS_LOSS__NAME": "",
}
MASKS = {
    "MODEL__MASK_ON": True,
    "MODEL__ROI_MASK_HEAD__CONV_DIM": 16,
    "MODEL__ROI_MASK_HEAD__NUM_CONV": 1,
    "INPUT__MASK_FORMAT": "bitmask",
}


def tries(number: int, folder: Path, generator: np.random.Generator) -> Iterator[Try]:
    """Damage a value of one place or some bytes, in turns for a detector of boxes and of masks."""
    json_file, output = folder / "annotations.json", folder / "output"
    entry = {"NAME": "fuzzed", "JSON": str(json_file), "IMAGES": str(folder / "images")}
    keys = {"OUTPUT_DIR": output, "DATASETS__COCO": [entry], **KEYS}
    masks = CONFIG.with_name("faster_rcnn.yaml")
    lines = (
        ["train_net.py", "--config-file", str(masks), *options(**keys, **MASKS)],
        ["train_net.py", "--config-file", str(CONFIG), *options(**keys)],
    )
    damages = (_wrong_value, _wrong_value, _wrong_value, _random_bytes)
    undamaged = _undamaged(folder / "images", generator)
    json_file.write_text(json.dumps(undamaged))
    yield Try("undamaged", lines[0])
    for i in range(number):
        name, content = damages[i // 2 % len(damages)](undamaged, generator)
        json_file.write_bytes(content)
        shutil.rmtree(output, ignore_errors=True)
        yield Try(name, lines[i % 2])


def _undamaged(folder: Path, generator: np.random.Generator) -> dict[str, Any]:
    folder.mkdir()
    images, annotations = [], []
    for i in range(1, 5):
        pixels = generator.integers(256, size=(48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "width": 64, "height": 48})
        runs = {"size": [48, 64], "counts": [480, 30, 18, 30, 2514]}
        for mask in ([[4, 4, 34, 4, 34, 34]], runs):
            note = {"id": len(annotations) + 1, "image_id": i, "category_id": i % 3 + 1}
            note.update(bbox=[4, 4, 30, 30], area=450, iscrowd=0, segmentation=mask)
            annotations.append(note)
    categories = [{"id": i, "name": f"class {i}"} for i in (1, 2, 3)]
    return {"images": images, "categories": categories, "annotations": annotations}


def _wrong_value(content: dict[str, Any], generator: np.random.Generator) -> tuple[str, bytes]:
    content = copy.deepcopy(content)
    places = list(_places(content, ""))
    name, put = places[generator.integers(len(places))]
    value = VALUES[generator.integers(len(VALUES))]
    put(value)
    return f"{name}: {value!r:.50}", json.dumps(content).encode()


def _places(value: Any, name: str) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """The name of each place in the content, and a function that puts a value there."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            place = f"{name}/{key}"
            yield place, lambda other, key=key: value.__setitem__(key, other)
            yield from _places(value[key], place)


def _random_bytes(content: dict[str, Any], generator: np.random.Generator) -> tuple[str, bytes]:
    text = bytearray(json.dumps(content).encode())
    for _ in range(int(generator.integers(1, 4))):
        at = int(generator.integers(len(text)))
        text[at : at + int(generator.integers(3))] = bytes(generator.choice(list(b'0-9.e,[]{}":a')))
    return "characters by chance", bytes(text)
