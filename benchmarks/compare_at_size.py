#!/usr/bin/env python
"""`imbdet compare` of two runs of COCO's and of LVIS's size, on made-up detections.

    python benchmarks/compare_at_size.py            # some minutes
    python benchmarks/compare_at_size.py --quick    # a hundredth of the images

The ground truth has 5,000 images, and of 80 classes as many objects as COCO's validation set, of
1,203 as many as LVIS's share of these images. Each run has 100 detections of an image, and the
second one's fit a little better. The digest is that of all tables: equal digests are equal numbers,
to the last bit.
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

import pyarrow.parquet as pq
from made_up import HEIGHT, WIDTH, make_detections, make_ground_truth
from PIL import Image
from sections import run_sections, section_parser

from imbdet.config import load_config
from imbdet.programs.processes import path_of
from imbdet.programs.program import run_program

NUM_IMAGES = 5000
OBJECTS_PER_IMAGE = {80: 7.36, 1203: 10.1}
DETECTIONS_PER_IMAGE = 100
# By run, the standard deviation of a detection's place and size, relative to its object's.
MISFITS = {"base": 0.12, "better": 0.10}


def write_runs(folder: Path, ground_truth: Mapping[str, Any]) -> list[Path]:
    """Write the folders of evaluated runs, and what the comparison reads besides."""
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
        found = make_detections(ground_truth, misfit, DETECTIONS_PER_IMAGE, seed)
        results.write_text(json.dumps(found))
        runs.append(folder / name)
        (runs[-1] / "config.yaml").write_text(cfg.dump())
    return runs


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Comparisons of two runs."""
    return [_measure(args, num_classes) for num_classes in args.classes]


def _measure(args: argparse.Namespace, num_classes: int) -> dict[str, Any]:
    if args.folder:
        args.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        num_objects = OBJECTS_PER_IMAGE[num_classes]
        ground_truth = make_ground_truth(args.images, num_classes, num_objects)
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
    """The longest time without output outside a terminal, and the output before it."""
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
