#!/usr/bin/env python
"""How often a search finds the best method, and how often it claims what is not so.

    python benchmarks/search.py                      # some minutes
    python benchmarks/search.py --repetitions 100

Trainings are simulated; the decisions are those of `imbdet search`. The AP of a training is the
value of its method at the rung, with noise of four kinds: of a seed for all methods, of a seed for
one, of the images for a method, and of a seed for single images. Values and deviations by seeds are
those that benchmarks/loss_curves.py recorded of six losses on `shapes`,
docs/results/shapes_curves.json; between two evaluations curves are straight lines. Where the best
one is late, it is at the first rung where the baseline is. The variance by images is that which
benchmarks/image_noise.py measured, docs/results/shapes_image_noise.json.
"""

import argparse
import dataclasses
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
from imbdet.programs.program import run_program
from imbdet.search.decision import paired_difference, pooled_noise
from imbdet.search.halving import (
    Fate,
    Measured,
    Plan,
    Progress,
    Task,
    advance,
    default_rungs,
)

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
# Iterations of the recorded trainings, and of their warm-up.
END, WARMUP = 450, 50
NUM_IMAGES = 200
# Points of AP that a method gains at least to be ahead.
LEAD = 3


@dataclass(frozen=True)
class World:
    """Methods whose APs are known.

    Attributes:
        curves: AP in percent at each rung, by method, the baseline first.
        shared_sds: standard deviation of AP at each rung by the seed, shared by all methods.
        own_sds: rest of the standard deviation of a training at each rung, on the same images.
        image_errors: standard error by images of the difference of two trainings at each rung.
        of_methods: part of its variance that belongs to methods; the rest belongs to seeds.
        rungs: iterations of the rungs.
        budget: budget of the search, as a part of the cost of all trainings to their end.
    """

    curves: Mapping[str, Sequence[float]]
    shared_sds: Sequence[float]
    own_sds: Sequence[float]
    image_errors: Sequence[float]
    of_methods: float
    rungs: Sequence[int]
    budget: float = 0.5

    @property
    def ends(self) -> dict[str, float]:
        """AP of each method at the end."""
        return {method: curve[-1] for method, curve in self.curves.items()}

    @property
    def best(self) -> str:
        """The method with the highest AP at the end."""
        return max(self.ends, key=self.ends.__getitem__)

    @property
    def ahead(self) -> list[str]:
        """The methods that gain LEAD points or more on the baseline."""
        baseline, *_ = self.ends.values()
        return [method for method, end in self.ends.items() if end >= baseline + LEAD]

    def train(
        self, methods: Sequence[str], seeds: int, rng: np.random.Generator
    ) -> dict[Task, Measured]:
        """Simulate what trainings measure at all rungs."""
        groups = draw_groups(NUM_IMAGES)
        measured = {}
        for place, (iteration, error) in enumerate(zip(self.rungs, self.image_errors, strict=True)):
            of_a_training = error**2 / 2  # variance of its AP
            method_sd, image_sd = np.sqrt(
                NUM_IMAGES * of_a_training * np.array([self.of_methods, 1 - self.of_methods])
            )
            # What a seed does to single images is in the deviation that was recorded, too.
            of_images = (1 - self.of_methods) * of_a_training
            own_sd = max(self.own_sds[place] ** 2 - of_images, 0.0) ** 0.5
            shared = rng.normal(0, self.shared_sds[place], seeds)
            for method in methods:
                of_method = rng.normal(0, method_sd, NUM_IMAGES)
                for seed in range(seeds):
                    level = self.curves[method][place] + shared[seed] + rng.normal(0, own_sd)
                    images = level + of_method + rng.normal(0, image_sd, NUM_IMAGES)
                    ap = np.concatenate([[images.mean()], _without_groups(images, groups)])
                    measured[Task(iteration, seed, method)] = Measured(ap, NUM_IMAGES, 1.0)
        return measured


def _without_groups(images: np.ndarray, groups: np.ndarray) -> np.ndarray:
    sums, counts = np.bincount(groups, images), np.bincount(groups)
    return (images.sum() - sums) / (len(images) - counts)


def worlds() -> Iterator[tuple[str, World]]:
    """The worlds to simulate, with titles."""
    known = recorded(default_rungs(END, WARMUP))
    yield "losses on shapes", known
    yield "losses on shapes, 5/8 of the grid", dataclasses.replace(known, budget=5 / 8)
    yield "losses on shapes, from a third on", recorded((END // 3, END))
    baseline = next(iter(known.curves.values()))
    late = {**known.curves, known.best: (*baseline[:-1], known.ends[known.best])}
    yield "losses on shapes, the best one late", dataclasses.replace(known, curves=late)
    six, two = dict.fromkeys(known.curves, baseline), dict.fromkeys("ab", baseline)
    yield "six identical methods", dataclasses.replace(known, curves=six)
    yield "two identical methods", dataclasses.replace(known, curves=two)
    strays = [3.0] * len(known.rungs)
    noisy = dataclasses.replace(known, curves=two, own_sds=strays)
    yield "two identical methods, trainings stray by 3", noisy


def recorded(rungs: Sequence[int]) -> World:
    """The losses on shapes, as they were at these iterations."""
    methods = json.loads((RESULTS / "shapes_curves.json").read_text())["curves"]
    iterations = [int(iteration) for iteration in next(iter(methods["focal"].values()))]
    # (methods, seeds, evaluations)
    aps = np.array(
        [[[*of_seed.values()] for of_seed in seeds.values()] for seeds in methods.values()]
    )
    curves = {
        method: tuple(np.interp(rungs, iterations, means).tolist())
        for method, means in zip(methods, aps.mean(axis=1), strict=True)
    }
    own = np.array([pooled_noise(at_once).variance for at_once in np.moveaxis(aps, -1, 0)])
    of_seeds = aps.mean(axis=0).var(axis=0, ddof=1) - own / len(methods)
    shared_sds, own_sds = (
        np.interp(rungs, iterations, variances**0.5).tolist()
        for variances in (np.maximum(of_seeds, 0.0), own)
    )
    noise = json.loads((RESULTS / "shapes_image_noise.json").read_text())
    measured_at = [int(iteration) for iteration in noise["errors"]]
    errors = np.interp(rungs, measured_at, list(noise["errors"].values())).tolist()
    return World(curves, shared_sds, own_sds, errors, noise["of_methods"], rungs)


def search(world: World, plan: Plan, rng: np.random.Generator) -> tuple[Progress, str]:
    """Simulate a search to its end, and return also the verdict of its final comparison."""
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
        np.stack([measured[Task(world.rungs[-1], seed, method)].ap for seed in seeds])
        for method in (winner, baseline)
    )
    noise = pooled_noise(np.stack([first[:, 0], second[:, 0]]))
    return paired_difference(first, second, noise, NUM_IMAGES, CONFIDENCE).verdict


def repeat(title: str, world: World, seeds: int, repetitions: int) -> dict[str, str]:
    """Repeat searches in a world, and return the row of the table."""
    grid = len(world.curves) * seeds * world.rungs[-1]
    arms = {method: [method] for method in world.curves}
    plan = Plan(arms, range(seeds), world.rungs, grid * world.budget)
    winners, verdicts = Counter[str](), Counter[str]()
    num_false, costs = 0, []
    for repetition in range(repetitions):
        progress, verdict = search(world, plan, np.random.default_rng(repetition))
        winners[str(progress.winner)] += 1
        verdicts[verdict] += 1
        num_false += _is_false(world, str(progress.winner), verdict) or any(
            fate.kind == "worse" and not _is_worse(world, method, fate)
            for method, fate in progress.fates.items()
        )
        costs.append(progress.cost / grid)
    percent = 100 / repetitions
    ahead = sum(winners[method] for method in world.ahead)
    return {
        "world": title,
        "seeds": str(seeds),
        "best found": f"{percent * winners[world.best]:.1f}" if world.ahead else "",
        f"one {LEAD} ahead found": f"{percent * ahead:.1f}" if world.ahead else "",
        "a false decision": f"{percent * num_false:.1f}",
        **{f"final: {word}": f"{percent * verdicts[word]:.1f}" for word in _VERDICTS},
        "cost of the grid": f"{100 * statistics.mean(costs):.0f} %",
    }


def _is_false(world: World, winner: str, verdict: str) -> bool:
    """Whether the final comparison claims what is not so."""
    gain = world.ends[winner] - next(iter(world.ends.values()))
    return (verdict == "better" and gain <= 0) or (verdict == "worse" and gain >= 0)


def _is_worse(world: World, method: str, fate: Fate) -> bool:
    place = world.rungs.index(fate.iteration)
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
