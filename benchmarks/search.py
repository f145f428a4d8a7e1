#!/usr/bin/env python
"""How often a search finds the best method, and how often it claims what is not so.

    python benchmarks/search.py                      # some minutes
    python benchmarks/search.py --repetitions 100

Trainings are played; the decisions are those of `imbdet search`. The AP of a training is the value
of its method at the rung and chance of three kinds: what a seed does to the training, what images
do to a method, and what a seed does to single images. Final values and the deviation of seeds are
those of the losses on `shapes`, `docs/results/shapes_retinanet.json`. How losses get there was not
recorded, so two ways are played: at all rungs in the same proportions, and with the best method
where the baseline is until the second rung. Images stray as `imbdet compare` found for pairs of
trainings on `shapes`: a standard error of 0.37 points.
"""

import argparse
import json
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tabulate import tabulate

from imbdet.compare.jackknife import draw_groups
from imbdet.figures.estimates import CONFIDENCE
from imbdet.program import run_program
from imbdet.search.decision import paired_difference, pooled_noise
from imbdet.search.halving import Fate, Measured, Plan, Progress, Task, advance

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results" / "shapes_retinanet.json"
RUNGS = (50, 150, 450)
# Of the AP at the end, what is reached at each rung.
SHARES = (0.2, 0.6, 1.0)
NUM_IMAGES = 200
# Of a difference of two trainings; half of its variance is of the methods, half of the seeds.
IMAGE_ERROR = 0.37


@dataclass(frozen=True)
class World:
    """Methods whose APs are known.

    Attributes:
        curves: AP in percent at each rung, by method, the baseline first.
        seed_sd: deviation of AP by the seed of a training, over all images there could be.
    """

    curves: Mapping[str, Sequence[float]]
    seed_sd: float

    @property
    def best(self) -> str:
        """The method with the highest AP at the end."""
        return max(self.curves, key=lambda method: self.curves[method][-1])

    def train(
        self, methods: Sequence[str], seeds: int, rng: np.random.Generator
    ) -> dict[Task, Measured]:
        """What trainings measure at all rungs."""
        groups = draw_groups(NUM_IMAGES)
        image_sd = IMAGE_ERROR * np.sqrt(NUM_IMAGES / 4)
        measured = {}
        for place, iteration in enumerate(RUNGS):
            for method in methods:
                of_method = rng.normal(0, image_sd, NUM_IMAGES)
                for seed in range(seeds):
                    level = self.curves[method][place] + rng.normal(0, self.seed_sd)
                    images = level + of_method + rng.normal(0, image_sd, NUM_IMAGES)
                    ap = np.concatenate([[images.mean()], _without_groups(images, groups)])
                    measured[Task(iteration, seed, method)] = Measured(ap, NUM_IMAGES, 1.0)
        return measured


def _without_groups(images: np.ndarray, groups: np.ndarray) -> np.ndarray:
    sums, counts = np.bincount(groups, images), np.bincount(groups)
    return (images.sum() - sums) / (len(images) - counts)


def worlds() -> Iterator[tuple[str, World]]:
    """What is played, with a title."""
    recorded = json.loads(RESULTS.read_text())["methods"]
    aps = {
        method: [run["val"]["AP"] for run in result["runs"]] for method, result in recorded.items()
    }
    seed_sd = statistics.mean(statistics.variance(of_seeds) for of_seeds in aps.values()) ** 0.5
    ends = {method: statistics.mean(of_seeds) for method, of_seeds in aps.items()}
    curves = {method: [share * end for share in SHARES] for method, end in ends.items()}
    known = World(curves, seed_sd)
    yield "losses on shapes", known
    baseline = curves[next(iter(curves))]
    late = {**curves, known.best: [*baseline[:2], ends[known.best]]}
    yield "losses on shapes, the best one late", World(late, seed_sd)
    yield "six identical methods", World(dict.fromkeys(curves, baseline), seed_sd)
    yield "two identical methods", World(dict.fromkeys(list(curves)[:2], baseline), seed_sd)
    yield "two identical methods, seeds stray by 3", World(dict.fromkeys("ab", baseline), 3.0)


def search(world: World, plan: Plan, rng: np.random.Generator) -> tuple[Progress, str]:
    """A search from its start to its end, and the verdict of its final comparison."""
    measured = world.train(list(world.curves), len(plan.seeds), rng)
    done: dict[Task, Measured] = {}
    while (progress := advance(plan, done, {})).due:
        done |= {task: measured[task] for task in progress.due}
    return progress, _final_verdict(world, plan, str(progress.winner), rng)


def _final_verdict(world: World, plan: Plan, winner: str, rng: np.random.Generator) -> str:
    baseline = next(iter(world.curves))
    if winner == baseline:
        return "undecided"
    seeds = range(len(plan.seeds))
    measured = world.train([winner, baseline], len(seeds), rng)
    first, second = (
        np.stack([measured[Task(RUNGS[-1], seed, method)].ap for seed in seeds])
        for method in (winner, baseline)
    )
    noise = pooled_noise(np.stack([first[:, 0], second[:, 0]]))
    return paired_difference(first, second, noise, NUM_IMAGES, CONFIDENCE).verdict


def repeat(title: str, world: World, seeds: int, repetitions: int) -> dict[str, str]:
    """A row of the table."""
    grid = len(world.curves) * seeds * RUNGS[-1]
    plan = Plan({method: [method] for method in world.curves}, range(seeds), RUNGS, grid / 2)
    found, dropped, costs, verdicts = 0, 0, [], Counter[str]()
    for repetition in range(repetitions):
        progress, verdict = search(world, plan, np.random.default_rng(repetition))
        found += progress.winner == world.best
        dropped += any(
            fate.kind == "worse" and not _is_worse(world, method, fate)
            for method, fate in progress.fates.items()
        )
        costs.append(progress.cost / grid)
        verdicts[verdict] += 1
    is_same = len({curve[-1] for curve in world.curves.values()}) == 1
    percent = 100 / repetitions
    return {
        "world": title,
        "seeds": str(seeds),
        "best found": "" if is_same else f"{percent * found:.1f}",
        "a false decision": f"{percent * dropped:.1f}",
        **{f"final: {word}": f"{percent * verdicts[word]:.1f}" for word in _VERDICTS},
        "cost of the grid": f"{100 * statistics.mean(costs):.0f} %",
    }


def _is_worse(world: World, method: str, fate: Fate) -> bool:
    place = RUNGS.index(fate.iteration)
    return world.curves[method][place] < world.curves[fate.reason][place]


_VERDICTS = ("better", "undecided", "worse")


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=400, metavar="N")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Play all worlds with two, three and five seeds, and print the table."""
    args = parse_args(argv)
    rows = [
        repeat(title, world, seeds, args.repetitions)
        for title, world in worlds()
        for seeds in (2, 3, 5)
    ]
    print("Shares of the repetitions, in percent:\n")
    print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    sys.exit(run_program(main, output="the output"))
