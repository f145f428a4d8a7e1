#!/usr/bin/env python
"""How time grows with samples, objects, classes and images.

    python benchmarks/growth.py                                     # tables, some minutes
    python benchmarks/growth.py --figure docs/figures/growth.png    # and a figure
    python benchmarks/growth.py --only samples classes
    python benchmarks/growth.py --only images --quick --config-file \
        configs/COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml configs/quick_start/Shapes.yaml \
        --opts MODEL.ROI_HEADS.NUM_CLASSES 3 MODEL.WEIGHTS ""

Each part runs at some size, at ten times and at a hundred times of it. The last column is how many
times longer that took; linear growth is 100. Medians of the CPU time, on a GPU of the wall clock.
"""

import argparse
import functools
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from losses import make_problem, prepare
from measuring import time_in_turns
from runs import CONFIGS, ROOT
from samplers_alone import SAMPLERS, make_candidates
from sections import run_sections, section_parser

# isort: split
from matplotlib.figure import Figure

from imbdet.drawing.style import CATEGORIES, DPI, STYLE, label_panel, new_figure
from imbdet.programs.program import run_program
from imbdet.records import JointHistograms, SampleRecord, draw_negatives
from imbdet.records.record_columns import Batch, to_rows
from imbdet.samplers import QuotaSampler, nms_clusters
from imbdet.structures import Candidates, Samples
from imbdet.weighting import hierarchical_local_rank

FACTORS = (1, 10, 100)
LOSS_NAMES = ("focal", "GHM-C", "DR", "AP", "aLRP", "Rank & Sort")
# Samplers that compare candidates in pairs: only the proposals of one image, 2,000 at most.
IN_PAIRS = ("OHEM-NMS", "Score-HLR")

# Lines of the figure.
DRAWN = ("focal", "AP", "Rank & Sort", "Libra", "Score-HLR", "HLR", "recording")

Run = Callable[[], Any]


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = section_parser(__doc__, SECTIONS)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the size")
    parser.add_argument("--repetitions", type=int, default=5, metavar="N")
    parser.add_argument("--figure", type=Path, metavar="PNG", help="also draw them")
    demo = [str(CONFIGS / "quick_start" / "faster_rcnn.yaml")]
    parser.add_argument("--config-file", nargs="+", default=demo, metavar="YAML", help="of images")
    parser.add_argument("--opts", nargs="+", default=[], metavar="KEY VALUE", help="likewise")
    parser.set_defaults(dtype="float32")  # of the losses' logits
    return parser.parse_args()


def grow_samples(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Samples: rows of 80 logits for a loss, candidates of an image for all else [ms]."""
    rows = []
    for size in sizes(1000, args):
        candidates = make_candidates(size, args.device)
        rows.append({"size": size, **time_parts(args, candidates, in_pairs=size <= 10_000)})
    return in_columns(rows)


def grow_objects(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Objects of an image with 100,000 candidates; ten times as many positives of a loss [ms]."""
    rows = []
    for size in sizes(10, args):
        candidates = make_candidates(100_000 // args.shrink, args.device, num_objects=size)
        times = time_parts(args, candidates, num_positives=10 * size, in_pairs=False)
        rows.append({"size": size, **times})
    return in_columns(rows)


def grow_classes(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Classes, up to about LVIS's 1,203, of 2,000 samples [ms]."""
    rows = []
    for size in (12, 120, 1203):
        candidates = make_candidates(2000 // args.shrink, args.device, num_classes=size)
        rows.append({"size": size, **time_parts(args, candidates, in_pairs=True)})
    return in_columns(rows)


def grow_images(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Images of an analysis, all of it in a process of its own [s, MiB]."""
    analyze(1, args)  # makes the images, the first time
    rows = []
    for size in sizes(2, args):
        seconds, num_bytes = analyze(size, args)
        rows.append({"size": size, "analysis [s]": seconds, "memory [MiB]": num_bytes / 2**20})
    return in_columns(rows)


def analyze(num_images: int, args: argparse.Namespace) -> tuple[float, int]:
    """Seconds and peak bytes of `imbdet analyze`, its start included."""
    code = "import sys, imbdet.cli as cli, measuring; status = cli.main(sys.argv[1:]); "
    code += "print('peak:', measuring.highest_size()); sys.exit(status)"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", code, "analyze", "--num-images", str(num_images)]
        for file in args.config_file:
            command += ["--config-file", file]
        command += ["--output", folder, *args.opts]
        paths = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
        environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads), "PYTHONPATH": paths}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        output = subprocess.run(command, env=environment, check=True, capture_output=True).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, int(output.split(b"peak:")[-1])


def sizes(first: int, args: argparse.Namespace) -> list[int]:
    """One, ten and a hundred times the first size; with ``--quick`` the smaller two alone."""
    return [first * factor for factor in FACTORS[: 2 if args.quick else None]]


def in_columns(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each part, with a column for each size."""
    return [
        {
            "part": part,
            **{f"{row['size']:,}": row.get(part) for row in rows},
            "growth": rows[-1][part] / rows[0][part] if part in rows[-1] else None,
        }
        for part in rows[0]
        if part != "size"
    ]


def time_parts(
    args: argparse.Namespace,
    candidates: Candidates,
    *,
    num_positives: int | None = None,
    in_pairs: bool,
) -> dict[str, float]:
    """Milliseconds of losses, samplers, ranks and records.

    Args:
        args: the command line.
        candidates: candidates of one image, of which a tenth is positive.
        num_positives: number of positives of the losses, which have a row for each candidate; None
            is a hundredth.
        in_pairs: whether to time what compares all pairs of candidates.
    """
    runs = loss_runs(args, candidates, num_positives)
    runs |= sampler_runs(candidates, in_pairs=in_pairs)
    rows = candidates.pos_idxs
    values, objects = candidates.ious[rows], candidates.gt_idxs[rows]
    runs["HLR"] = functools.partial(
        hierarchical_local_rank, values, objects, candidates.gt_labels[rows]
    )
    if in_pairs:
        boxes, scores = candidates.boxes, candidates.outputs.scores[:, 0]
        runs["NMS clusters"] = functools.partial(nms_clusters, boxes, scores, 0.5)
    runs["recording"] = functools.partial(record, candidates)
    timings = time_in_turns(runs, args.repetitions, args.device)
    return {name: 1e3 * timing.median(args.device) for name, timing in timings.items()}


def loss_runs(
    args: argparse.Namespace, candidates: Candidates, num_positives: int | None
) -> dict[str, Run]:
    """Forward and backward passes."""
    num_rows, num_classes = candidates.outputs.scores.shape
    num_positives = min(num_positives or num_rows // 100, num_rows)
    problem = make_problem(num_rows * num_classes, num_positives, "spread", args, num_classes)
    return prepare(LOSS_NAMES, problem)


def sampler_runs(candidates: Candidates, *, in_pairs: bool) -> dict[str, Run]:
    """Choices of 512 samples."""
    options = {"batch_size_per_image": 512, "positive_fraction": 0.25}
    return {
        name: functools.partial(QuotaSampler(positive, negative, **options), candidates)
        for name, (positive, negative) in SAMPLERS.items()
        if in_pairs or name not in IN_PAIRS
    }


def record(candidates: Candidates) -> None:
    """Do what the recorder does with the samples of an image."""
    samples = Samples(candidates, candidates.outputs)
    box_losses = samples.positives.pred_deltas.abs().sum(dim=1)
    of_image = SampleRecord.of(samples, box_losses=box_losses, cls_losses=candidates.cls_losses)
    JointHistograms(["roi_heads"], box_losses.device).add(
        "roi_heads", "chosen", candidates, of_image.cls_losses
    )
    negatives = draw_negatives(of_image, num_hard=32, num_random=32)
    batch = Batch(0, image_ids=["1"], num_objects=[len(candidates.targets)])
    to_rows(of_image, negatives, batch, site="roi_heads", chosen_by=("random", "random"))


SECTIONS = {
    "samples": grow_samples,
    "objects": grow_objects,
    "classes": grow_classes,
    "images": grow_images,
}


def draw(results: dict[str, list[dict[str, Any]]]) -> Figure:
    """Time over that of the smallest size, by size, beside lines of linear and quadratic growth."""
    figure = new_figure(height=2.6)
    styles = {
        part: {"color": color, "marker": marker, "markersize": 4, "linewidth": 1}
        for part, color, marker in zip(DRAWN, CATEGORIES, "os^Dv<>", strict=False)
    }
    panels = figure.subplots(1, len(results), squeeze=False).flat
    for panel, (name, rows) in zip(panels, results.items(), strict=True):
        for row in (row for row in rows if row["part"] in DRAWN):
            points = {
                int(size.replace(",", "")): milliseconds
                for size, milliseconds in row.items()
                if size not in ("part", "growth") and milliseconds is not None
            }
            smallest, *_ = points.values()
            growth = [milliseconds / smallest for milliseconds in points.values()]
            panel.loglog(points.keys(), growth, **styles[row["part"]], label=row["part"])
        sizes_drawn = [int(size.replace(",", "")) for size in list(rows[0])[1:-1]]
        for power, dashes in ((1, "--"), (2, ":")):
            ideal = [(size / sizes_drawn[0]) ** power for size in sizes_drawn]
            panel.loglog(sizes_drawn, ideal, color="grey", linestyle=dashes, linewidth=0.8)
        panel.set_ylim(0.5, 200)
        panel.set_xlabel(name)
    label_panel(figure.axes[0], "times longer (dashed: linear, dotted: quadratic)")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right")
    return figure


def main() -> None:
    """Run the sections, print their tables, and draw them."""
    args = parse_args()
    args.shrink = 100 if args.quick else 1
    results = run_sections(SECTIONS, args)
    drawn = {name: results[name] for name in args.only if name != "images"}
    if args.figure and drawn:
        with mpl.rc_context(STYLE):
            draw(drawn).savefig(args.figure, dpi=DPI)


if __name__ == "__main__":
    torch.manual_seed(0)
    sys.exit(run_program(main, output="the files of --json and --figure"))
