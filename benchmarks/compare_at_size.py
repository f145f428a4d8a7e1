#!/usr/bin/env python
"""`imbdet compare` of two runs of COCO's and of LVIS's size, on made-up detections.

    python benchmarks/compare_at_size.py            # some minutes
    python benchmarks/compare_at_size.py --quick    # a hundredth of the images

The ground truth has 5,000 images, and of 80 classes as many objects as COCO's validation set, of
1,203 as many as LVIS's share of these images, a few of them crowds; the larger a class's number,
the rarer it is. Each run has 100 detections of an image: objects moved by a random amount, the
second run's by a little less, some of them twice or as another class, and boxes on nothing. The
digest is that of all tables: equal digests are equal numbers, to the last bit.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image
from sections import run_sections, section_parser

from imbdet.config import load_config
from imbdet.processes import path_of
from imbdet.program import run_program

NUM_IMAGES = 5000
OBJECTS_PER_IMAGE = {80: 7.36, 1203: 10.1}
CROWD_SHARE = 0.01
DETECTIONS_PER_IMAGE = 100
WIDTH, HEIGHT = 640, 480
# By run, the standard deviation of a detection's place and size, of those of its object.
MISFITS = {"base": 0.12, "better": 0.10}


def make_ground_truth(num_images: int, num_classes: int, seed: int = 0) -> dict[str, Any]:
    """The content of a COCO annotation file, classes by Zipf's law."""
    rng = np.random.default_rng(seed)
    num_objects = rng.poisson(OBJECTS_PER_IMAGE[num_classes], num_images)
    total = num_objects.sum()
    shares = 1 / np.arange(1, num_classes + 1)
    sides = np.exp(rng.normal(4, 0.8, (total, 1)) + rng.normal(0, 0.3, (total, 2)))
    sides = np.minimum(sides, [WIDTH, HEIGHT])
    corners = rng.random((total, 2)) * ([WIDTH, HEIGHT] - sides)
    boxes = np.concatenate([corners, sides], axis=1).round(2)
    columns = zip(
        np.repeat(np.arange(1, num_images + 1), num_objects).tolist(),
        rng.choice(num_classes, total, p=shares / shares.sum()).tolist(),
        boxes.tolist(),
        (rng.random(total) < CROWD_SHARE).astype(int).tolist(),
        strict=True,
    )
    return {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": WIDTH, "height": HEIGHT}
            for i in range(1, num_images + 1)
        ],
        "categories": [{"id": i, "name": f"class {i}"} for i in range(1, num_classes + 1)],
        "annotations": [
            {
                "id": i,
                "image_id": image_id,
                "category_id": category + 1,
                "bbox": box,
                "area": 0.6 * box[2] * box[3],
                "iscrowd": is_crowd,
            }
            for i, (image_id, category, box, is_crowd) in enumerate(columns, 1)
        ],
    }


def make_detections(
    ground_truth: Mapping[str, Any], misfit: float, seed: int
) -> list[dict[str, Any]]:
    """Records of COCO's result format; see the head of this file."""
    rng = np.random.default_rng(seed)
    by_image: dict[int, list[Mapping]] = {image["id"]: [] for image in ground_truth["images"]}
    for note in ground_truth["annotations"]:
        by_image[note["image_id"]].append(note)
    num_classes = len(ground_truth["categories"])
    num = DETECTIONS_PER_IMAGE
    found = []
    for image_id, notes in by_image.items():
        # At most half of an image's detections are on its objects.
        sources = np.repeat(np.arange(len(notes)), rng.integers(0, 4, len(notes)))[: num // 2]
        sides = np.exp(rng.normal(4, 0.8, (num, 2)))
        boxes = np.concatenate([rng.random((num, 2)) * [WIDTH, HEIGHT], sides], axis=1)
        classes = rng.integers(1, num_classes + 1, num)
        scores = rng.beta(1, 8, num)
        on_objects = slice(0, len(sources))
        if len(sources):
            of_objects = np.array([note["bbox"] for note in notes])[sources]
            moves = rng.normal(0, misfit, (len(sources), 4)) * of_objects[:, [2, 3, 2, 3]]
            boxes[on_objects] = of_objects + moves
            own = np.array([note["category_id"] for note in notes])[sources]
            classes[on_objects] = np.where(rng.random(len(sources)) < 0.8, own, classes[on_objects])
            scores[on_objects] = rng.beta(2, 2, len(sources))
        boxes[:, 2:] = np.maximum(boxes[:, 2:], 1)
        columns = (classes.tolist(), boxes.round(2).tolist(), scores.round(4).tolist())
        found += [
            {"image_id": image_id, "category_id": category, "bbox": box, "score": score}
            for category, box, score in zip(*columns, strict=True)
        ]
    return found


def write_runs(folder: Path, ground_truth: Mapping[str, Any]) -> list[Path]:
    """The folders of evaluated runs, and what the comparison reads besides."""
    file = folder / "truth.json"
    file.write_text(json.dumps(ground_truth))
    for image in ground_truth["images"]:
        Image.new("L", (WIDTH, HEIGHT)).save(folder / image["file_name"])
    cfg = load_config()
    cfg.DATASETS.COCO = [{"NAME": "made_up", "JSON": str(file), "IMAGES": str(folder)}]
    cfg.DATASETS.TEST = ["made_up"]
    runs = []
    for seed, (name, misfit) in enumerate(MISFITS.items()):
        results = folder / name / "inference" / "made_up" / "coco_instances_results.json"
        results.parent.mkdir(parents=True)
        results.write_text(json.dumps(make_detections(ground_truth, misfit, seed)))
        runs.append(folder / name)
        (runs[-1] / "config.yaml").write_text(cfg.dump())
    return runs


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Comparisons of two runs."""
    return [_measure(args, num_classes) for num_classes in args.classes]


def _measure(args: argparse.Namespace, num_classes: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        ground_truth = make_ground_truth(args.images, num_classes)
        runs = write_runs(folder, ground_truth)
        words = [path_of("imbdet"), "compare", *map(str, runs), "--output", str(folder / "output")]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        silence, seconds = _run(words, args.threads)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "classes": num_classes,
            "objects": len(ground_truth["annotations"]),
            "detections of a run": args.images * DETECTIONS_PER_IMAGE,
            "CPU [s]": sum(
                getattr(after, kind) - getattr(before, kind) for kind in ("ru_utime", "ru_stime")
            ),
            "wall [s]": time.perf_counter() - start,
            "longest silence [s]": silence,
            "behind the line": seconds,
            "peak memory [GB]": after.ru_maxrss / 1e6,
            "digest": _digest(folder / "output" / "tables"),
        }


def _run(words: list[str], num_threads: int) -> tuple[float, str]:
    """The longest time without a word outside a terminal, and the words before it."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(num_threads), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as program:
        last, line, silences = time.perf_counter(), "the start", []
        for following in program.stdout:
            silences.append((time.perf_counter() - last, line))
            last, line = time.perf_counter(), following.strip()[:60]
            print(following, end="", file=sys.stderr)
    if program.returncode:
        sys.exit(program.returncode)
    return max(silences)


def _digest(tables: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(tables.glob("*.parquet")):
        digest.update(repr(pq.read_table(file).to_pydict()).encode())
    return digest.hexdigest()[:12]


SECTIONS = {"compare": measure}


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = section_parser(__doc__, SECTIONS, cpu_only=True)
    kinds = list(OBJECTS_PER_IMAGE)
    parser.add_argument("--classes", type=int, nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--images", type=int, default=NUM_IMAGES, metavar="N")
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="for some 500 MB of files")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the images")
    args = parser.parse_args()
    if args.quick:
        args.images //= 100
    return args


def main() -> None:
    """Measure and print."""
    args = parse_args()
    run_sections(SECTIONS, args, cores=os.cpu_count(), images=args.images)


if __name__ == "__main__":
    sys.exit(run_program(main, output="the file of --json"))
