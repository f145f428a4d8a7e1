#!/usr/bin/env python
"""How long annotations of COCO's size take until the first batch, beside detectron2.

    python benchmarks/reading.py
    python benchmarks/reading.py --images 10000 --repetitions 3

The file is synthetic: 7.3 objects an image, each with a polygon of 24 points. Both loaders take
turns, each in a process of its own, without workers; imports are not counted.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sections import run_sections

from imbdet.config import load_config
from imbdet.data import build_train_loader, register_datasets
from imbdet.programs.program import run_program

# isort: split
from detectron2.config import CfgNode
from detectron2.data import build_detection_train_loader
from detectron2.data.datasets import load_coco_json

OBJECTS_PER_IMAGE, NUM_CLASSES, NUM_POINTS = 7.3, 80, 24


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=118_287, metavar="N")
    parser.add_argument("--repetitions", type=int, default=3, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    return parser.parse_args(namespace=argparse.Namespace(only=["first"], threads=1, device="cpu"))


def write_data(folder: Path, num_images: int) -> None:
    """Write an annotation file and its images, which are all the same."""
    generator = np.random.default_rng(0)
    file_names = [f"{i}.png" for i in range(1, num_images + 1)]
    images = [
        {"id": i, "file_name": file_name, "width": 64, "height": 48}
        for i, file_name in enumerate(file_names, 1)
    ]
    for file_name in file_names:
        (folder / file_name).symlink_to(folder / "image")
    Image.new("RGB", (64, 48)).save(folder / "image", format="png")
    points = generator.uniform(size=(NUM_POINTS, 2))
    annotations = []
    for i in range(1, round(OBJECTS_PER_IMAGE * num_images) + 1):
        corner, size = generator.uniform(2, 30, size=(2, 2)).round(2) / (1, 2)
        note = {"id": i, "image_id": int(generator.integers(num_images)) + 1, "iscrowd": 0}
        note["category_id"] = int(generator.integers(NUM_CLASSES)) + 1
        note.update(bbox=[*corner.tolist(), *size.tolist()], area=float(size.prod()))
        note["segmentation"] = [(corner + points * size).round(2).ravel().tolist()]
        annotations.append(note)
    categories = [{"id": i, "name": f"class {i}"} for i in range(1, NUM_CLASSES + 1)]
    content = {"images": images, "categories": categories, "annotations": annotations}
    (folder / "annotations.json").write_text(json.dumps(content))


def read_ours(cfg: CfgNode) -> None:
    """Read up to the first batch, by DATASETS.COCO."""
    register_datasets(cfg)
    next(iter(build_train_loader(cfg)))


def read_theirs(cfg: CfgNode) -> None:
    """Read up to the first batch, by detectron2's functions."""
    (entry,) = cfg.DATASETS.COCO
    dataset = load_coco_json(entry["JSON"], entry["IMAGES"], "theirs")
    next(iter(build_detection_train_loader(cfg, dataset=dataset)))


LOADERS = {"imbdet": read_ours, "detectron2": read_theirs}


def time_loader(name: str, cfg: CfgNode) -> float:
    """Seconds of CPU that a loader takes in a process of its own."""
    context = multiprocessing.get_context("fork")
    result = context.SimpleQueue()

    def run() -> None:
        start = time.process_time()
        LOADERS[name](cfg)
        result.put(time.process_time() - start)

    process = context.Process(target=run)
    process.start()
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"{name} ended with {process.exitcode}")
    return result.get()


def time_first_batch(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds of CPU until the first batch (medians); goal: at most 1.2 times detectron2's."""
    seconds: dict[str, list[float]] = {name: [] for name in LOADERS}
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder), args.images)
        cfg = load_config()
        json_file = str(Path(folder, "annotations.json"))
        cfg.DATASETS.COCO = [{"NAME": "ours", "JSON": json_file, "IMAGES": folder}]
        cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("ours",), ()
        cfg.MODEL.META_ARCHITECTURE, cfg.DATALOADER.NUM_WORKERS = "RetinaNet", 0
        cfg.INPUT.MIN_SIZE_TRAIN, cfg.SOLVER.IMS_PER_BATCH = (48,), 2
        for _ in range(args.repetitions):
            for name in LOADERS:
                seconds[name].append(time_loader(name, cfg))
    ratios = np.divide(seconds["imbdet"], seconds["detectron2"])
    row = {f"{name} [s]": np.median(values) for name, values in seconds.items()}
    return [{"images": args.images, **row, "ratio": np.median(ratios), "goal": "<= 1.2"}]


def main() -> None:
    """Measure and print."""
    run_sections({"first": time_first_batch}, parse_args())


if __name__ == "__main__":
    sys.exit(run_program(main, output="the folder of temporary files, or the file of --json"))
