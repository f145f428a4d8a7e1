#!/usr/bin/env python
"""Train combinations of methods for a while, and look for what is not finite.

    python benchmarks/combinations.py --json combinations.json

Small detectors learn shapes on small images for 200 iterations: every sampler with every weighting
on Faster R-CNN, RetinaNet, and the RPN of Faster R-CNN (samplers alone); every assigner with every
classification loss on the dense detector, whose boxes are deltas, distances and distributions in
turn. Combinations come from the registries, so a new method takes part by itself; those that are
refused are counted, by the sentence. Seconds of an iteration are the process's own, medians, and
relative to the first row, the detector's own methods; the second row is the same again, which shows
the noise.
"""

import argparse
import itertools
import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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
from imbdet.methods import ASSIGNERS, CLS_LOSSES, NEGATIVE_SAMPLERS, POSITIVE_SAMPLERS
from imbdet.modeling import build_model
from imbdet.modeling.dense_parts import BOXES
from imbdet.modeling.unread_keys import refuse_unread_keys
from imbdet.programs.program import run_program

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


class Sampling(NamedTuple):
    """Names; empty ones are the detector's own."""

    positives: str
    negatives: str
    weighting: str

    def opts(self, site: str) -> list[str]:
        """The overrides, for a node of samplers."""
        names = [f"{site}.POSITIVE.NAME", self.positives, f"{site}.NEGATIVE.NAME", self.negatives]
        return [*WEIGHTINGS[self.weighting], *names]


class Assigning(NamedTuple):
    """Names; empty ones are the detector's own."""

    assigner: str
    cls_loss: str
    boxes: str

    def opts(self, site: str) -> list[str]:
        """The overrides, for a node of an assigner."""
        loss = ["MODEL.CLS_LOSS.NAME", self.cls_loss, "MODEL.BOX_LOSS.NAME", "giou"]
        return [f"{site}.NAME", self.assigner, *loss, "MODEL.DENSE.BOXES", self.boxes]


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = section_parser(__doc__, SECTIONS)
    parser.add_argument("--iterations", type=int, default=200, metavar="N")
    return parser.parse_args()


def combine_samplers(weightings: Sequence[str]) -> Iterator[Sampling]:
    """All combinations, after the detector's own twice."""
    yield from [Sampling("", "", "none")] * 2
    positives, negatives = (
        [name for name, _ in registry] for registry in (POSITIVE_SAMPLERS, NEGATIVE_SAMPLERS)
    )
    yield from itertools.starmap(Sampling, itertools.product(positives, negatives, weightings))


def combine_assigners() -> Iterator[Assigning]:
    """All assigners with every loss, after the detector's own twice."""
    yield from [Assigning("", "", "deltas")] * 2
    boxes = itertools.cycle(BOXES)
    for (assigner, _), (loss, _) in itertools.product(ASSIGNERS, CLS_LOSSES):
        yield Assigning(assigner, loss, next(boxes))


class Detector:
    """The config and images of a detector, which all combinations share."""

    def __init__(self, name: str, site: str, iterations: int):
        """Load the images.

        Args:
            name: name of a config in quick_start.
            site: node of keys that the combinations set.
            iterations: number of iterations of each training.
        """
        self._file = str(CONFIGS / "quick_start" / f"{name}.yaml")
        self._site = site
        cfg = load_config(self._file, opts=SMALL)
        register_datasets(cfg)
        self._batches = list(itertools.islice(build_train_loader(cfg), iterations))

    def train(self, combination: Sampling | Assigning) -> dict[str, Any]:
        """Train, and return iterations, those that were not finite, and seconds of one.

        Raises:
            UserError: the combination is refused.
        """
        cfg = load_config(self._file, opts=[*SMALL, *combination.opts(self._site)])
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
    """Do an iteration, and return the loss, NaN if that or a gradient is not finite."""
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


def _train_all(
    detector: Detector, combinations: Iterable[Sampling | Assigning]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    refusals: Counter[str] = Counter()
    for combination in combinations:
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
    detector = Detector("faster_rcnn", "MODEL.SAMPLER", args.iterations)
    return _train_all(detector, combine_samplers(list(WEIGHTINGS)))


def train_rpn(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The RPN of Faster R-CNN: its samplers."""
    detector = Detector("faster_rcnn", "MODEL.RPN_SAMPLER", args.iterations)
    return _train_all(detector, combine_samplers(["none"]))


def train_retinanet(args: argparse.Namespace) -> list[dict[str, Any]]:
    """RetinaNet: the samplers and weightings of its anchors."""
    detector = Detector("retinanet", "MODEL.SAMPLER", args.iterations)
    return _train_all(detector, combine_samplers(list(WEIGHTINGS)))


def train_dense(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The dense detector: its assigners and classification losses."""
    detector = Detector("Base-Dense", "MODEL.ASSIGNER", args.iterations)
    return _train_all(detector, combine_assigners())


SECTIONS = {
    "faster_rcnn": train_faster_rcnn,
    "rpn": train_rpn,
    "retinanet": train_retinanet,
    "dense": train_dense,
}


def main() -> None:
    """Train all combinations."""
    args = parse_args()
    run_sections(SECTIONS, args, iterations=args.iterations)


if __name__ == "__main__":
    sys.exit(run_program(main, output="the file of --json"))
