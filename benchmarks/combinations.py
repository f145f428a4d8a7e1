#!/usr/bin/env python
"""Train every combination of samplers and weightings for a while, and look for what is not finite.

    python benchmarks/combinations.py --json combinations.json

Small detectors learn shapes on small images for 200 iterations: on Faster R-CNN, RetinaNet, and the
RPN of Faster R-CNN (samplers alone). Combinations come from the registries, so a new sampler takes
part by itself; those that are refused are counted, by the sentence. Seconds of an iteration are the
process's own, medians, and relative to the first row, the detector's own sampling; the second row
is the same again, which shows the noise.
"""

import argparse
import itertools
import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from runs import CONFIGS
from sections import run_sections, section_parser
from torch import nn

from imbdet.config import load_config
from imbdet.data import build_train_loader, register_datasets
from imbdet.engine.optimizer import build_optimizer
from imbdet.errors import UserError
from imbdet.learning.finite import NotFiniteError
from imbdet.methods import NEGATIVE_SAMPLERS, POSITIVE_SAMPLERS
from imbdet.modeling import build_model
from imbdet.modeling.unread import refuse_unread_keys
from imbdet.program import run_program

# isort: split
from detectron2.utils.events import EventStorage

SMALL = [
    *("MODEL.DEVICE", "cpu"),
    *("MODEL.FPN.OUT_CHANNELS", "64"),
    *("DATASETS.SHAPES.IMAGE_SIZE", "64"),
    *("DATASETS.SHAPES.OBJECT_SIZE", "(8, 32)"),
    *("DATASETS.SHAPES.NUM_TRAIN", "100"),
    *("DATASETS.SHAPES.NUM_VAL", "1"),
    *("INPUT.MIN_SIZE_TRAIN", "(64,)"),
    *("SOLVER.IMS_PER_BATCH", "2"),
    *("SOLVER.OPTIMIZER", "SGD"),
    *("SOLVER.BASE_LR", "0.005"),
    *("DATALOADER.NUM_WORKERS", "0"),
]
WEIGHTINGS = {
    "none": [],
    "ISR-P, ISR-N": ["MODEL.WEIGHTING.NAMES", "['isr_p', 'isr_n']"],
    "soft": ["MODEL.WEIGHTING.NAMES", "['soft_sampling']"],
    "ISR-P, soft, CARL": [
        *("MODEL.WEIGHTING.NAMES", "['isr_p', 'soft_sampling']"),
        *("MODEL.CARL.ENABLED", "True"),
    ],
}


class Combination(NamedTuple):
    """Names; empty ones are the detector's own."""

    positives: str
    negatives: str
    weighting: str


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = section_parser(__doc__, SECTIONS)
    parser.add_argument("--iterations", type=int, default=200, metavar="N")
    return parser.parse_args()


def combine(weightings: Sequence[str]) -> Iterator[Combination]:
    """All, after the detector's own twice."""
    yield from [Combination("", "", "none")] * 2
    positives, negatives = (
        [name for name, _ in registry] for registry in (POSITIVE_SAMPLERS, NEGATIVE_SAMPLERS)
    )
    yield from itertools.starmap(Combination, itertools.product(positives, negatives, weightings))


class Detector:
    """What all combinations have in common: config, images."""

    def __init__(self, name: str, site: str, iterations: int):
        """Load the images.

        Args:
            name: of a config in quick_start.
            site: node of the samplers.
            iterations: of each training.
        """
        self._file = str(CONFIGS / "quick_start" / f"{name}.yaml")
        self._site = site
        cfg = load_config(self._file, opts=SMALL)
        register_datasets(cfg)
        self._batches = list(itertools.islice(build_train_loader(cfg), iterations))

    def train(self, combination: Combination) -> dict[str, Any]:
        """Iterations, those that were not finite, and seconds of one.

        Raises:
            UserError: the combination is refused.
        """
        opts = [*SMALL, *WEIGHTINGS[combination.weighting]]
        opts += [f"{self._site}.POSITIVE.NAME", combination.positives]
        opts += [f"{self._site}.NEGATIVE.NAME", combination.negatives]
        cfg = load_config(self._file, opts=opts)
        torch.manual_seed(0)
        refuse_unread_keys(cfg)
        model = build_model(cfg).train()
        optimizer = build_optimizer(cfg, model)
        seconds, losses = [], []
        with EventStorage() as storage:
            for batch in self._batches:
                start = time.process_time()
                losses.append(_step(model, optimizer, batch))
                storage.step()
                seconds.append(time.process_time() - start)
        return {
            "iterations": len(seconds),
            "not finite": sum(not math.isfinite(loss) for loss in losses),
            "last loss": losses[-1],
            "seconds": statistics.median(seconds),
        }


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: list[dict]) -> float:
    """An iteration. Returns the loss, NaN if that or a gradient is not finite."""
    optimizer.zero_grad()
    try:
        loss = sum(model(batch).values())
    except NotFiniteError:
        return math.nan
    loss.backward()
    norms = [p.grad.norm() for p in model.parameters() if p.grad is not None]
    if not torch.stack(norms).isfinite().all():
        return math.nan
    optimizer.step()
    return loss.item()


def _train_all(detector: Detector, weightings: Sequence[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    refusals: Counter[str] = Counter()
    for combination in combine(weightings):
        try:
            rows.append({**combination._asdict(), **detector.train(combination)})
        except UserError as error:
            refusals[str(error)] += 1
    for row in rows:
        row["relative"] = row["seconds"] / rows[0]["seconds"]
    for sentence, count in refusals.items():
        print(f"\n{count} refused: {sentence}")
    return rows


def train_faster_rcnn(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Faster R-CNN: the samplers and weightings of its RoI heads."""
    return _train_all(Detector("faster_rcnn", "MODEL.SAMPLER", args.iterations), list(WEIGHTINGS))


def train_rpn(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The RPN of Faster R-CNN: its samplers."""
    return _train_all(Detector("faster_rcnn", "MODEL.RPN_SAMPLER", args.iterations), ["none"])


def train_retinanet(args: argparse.Namespace) -> list[dict[str, Any]]:
    """RetinaNet: the samplers and weightings of its anchors."""
    return _train_all(Detector("retinanet", "MODEL.SAMPLER", args.iterations), list(WEIGHTINGS))


SECTIONS = {"faster_rcnn": train_faster_rcnn, "rpn": train_rpn, "retinanet": train_retinanet}


def main() -> None:
    """Train all."""
    args = parse_args()
    run_sections(SECTIONS, args, iterations=args.iterations)


if __name__ == "__main__":
    sys.exit(run_program(main, output="the file of --json"))
