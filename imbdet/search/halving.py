"""Successive halving: trainings stop at rungs, and those of the better methods go on.

It follows Jamieson and Talwalkar ("Non-stochastic Best Arm Identification and Hyperparameter
Optimization", AISTATS 2016), and differs in why a method stops: either another one is better for
certain, or there is no budget for it. An *arm* is a method with a learning rate. At the first rung
each method keeps the rate with the highest AP, which is no decision between methods.

All decisions are a function of the measurements. So any number of programs that share these come to
the same decisions without communication, and a search that was stopped goes on.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from imbdet.errors import UserError
from imbdet.figures.estimates import Estimate
from imbdet.search.decision import all_differences, decided_worse

# The first rung of a schedule that a search chooses itself. Li et al., "Hyperband" (JMLR 18, 2018),
# sec. 2.6, advise 1/3 or 1/4. From a quarter on, half of what all arms cost brings a third of them
# to the end, and from a third on, a quarter. Earlier, trainings say less about it.
FIRST_RUNG = 1 / 4


@dataclass(frozen=True, order=True)
class Task:
    """A training to a rung; seeds are ordered before arms, so that all arms have a seed early."""

    iteration: int
    seed: int
    arm: str


@dataclass(frozen=True, eq=False)
class Measured:
    """The result of a training at a rung.

    Attributes:
        ap: (1 + G,) AP in percent of the validation split, then without each group of images.
        num_images: number of images with objects.
        seconds: seconds that the training took from the start or from the rung before.
    """

    ap: np.ndarray
    num_images: int
    seconds: float


@dataclass(frozen=True)
class Fate:
    """Why an arm does not go on.

    Attributes:
        kind: "worse" for certain, "budget", another "rate" of the method, or "failed".
        iteration: the rung.
        reason: the arm that is better, or what a training said when it failed.
    """

    kind: str
    iteration: int
    reason: str


@dataclass(frozen=True)
class Plan:
    """The arms, seeds, rungs and budget of a search.

    Attributes:
        arms: names of the arms of each method, the baseline first.
        seeds: seeds with which every arm is trained, two or more.
        rungs: iterations at which trainings are compared, ascending; the last one is their end.
        budget: limit of the cost of the search, in iterations or hours.
        in_hours: whether ``budget`` is in hours.
    """

    arms: Mapping[str, Sequence[str]]
    seeds: Sequence[int]
    rungs: Sequence[int]
    budget: float
    in_hours: bool = False

    def lengths(self) -> list[int]:
        """Iterations from rung to rung."""
        return [end - start for start, end in zip((0, *self.rungs), self.rungs, strict=False)]

    def cost(self, iterations: int, seconds: float) -> float:
        """The cost of a training, in the unit of the budget."""
        return seconds / 3600 if self.in_hours else iterations


@dataclass(frozen=True)
class Round:
    """A comparison at a rung.

    Attributes:
        iteration: the rung.
        values: (S, 1 + G) AP of each arm that was compared.
        differences: differences of all pairs of these arms, the first minus the second.
    """

    iteration: int
    values: Mapping[str, np.ndarray]
    differences: Mapping[tuple[str, str], Estimate]


@dataclass
class Progress:
    """The state of a search.

    Attributes:
        due: trainings that are to go on; none when the search has come to its end.
        live: arms that nothing has stopped, the one with the highest AP first once it is known.
        fates: fates of the other arms.
        rounds: comparisons so far.
        cost: cost of all measured trainings, in the unit of the budget.
        wanted: budget that would have brought two arms to the end, where one was left alone for
            want of it; otherwise None.
    """

    due: list[Task] = field(default_factory=list)
    live: list[str] = field(default_factory=list)
    fates: dict[str, Fate] = field(default_factory=dict)
    rounds: list[Round] = field(default_factory=list)
    cost: float = 0.0
    wanted: float | None = None

    @property
    def winner(self) -> str | None:
        """The arm that is left; None before the end, and where all trainings failed."""
        return self.live[0] if self.live and not self.due else None


def default_rungs(end: int, warmup: int) -> tuple[int, ...]:
    """A quarter and all of a schedule, or all of it where the warm-up has not ended by then."""
    first = round(end * FIRST_RUNG)
    return (first, end) if first > warmup else (end,)


def good_budget(num_arms: int, num_seeds: int, rungs: Sequence[int]) -> int:
    """Iterations that bring all arms to the first rung, and two of them to the end."""
    first, end = rungs[0], rungs[-1]
    return num_seeds * (num_arms * first + min(num_arms, 2) * (end - first))


def advance(plan: Plan, measured: Mapping[Task, Measured], failed: Mapping[Task, str]) -> Progress:
    """Decide as far as the measurements allow.

    Args:
        plan: plan of the search.
        measured: results of the trainings so far.
        failed: messages of the trainings that failed on their way to a rung.

    Raises:
        UserError: the budget is too small for the first rung, as far as that is known.
    """
    progress = Progress(live=[arm for arms in plan.arms.values() for arm in arms])
    lengths = plan.lengths()
    for place, iteration in enumerate(plan.rungs):
        reasons = {task.arm: text for task, text in failed.items() if task.iteration == iteration}
        _drop(progress, {arm: Fate("failed", iteration, text) for arm, text in reasons.items()})
        tasks = [Task(iteration, seed, arm) for seed in plan.seeds for arm in progress.live]
        found = {task: measured[task] for task in tasks if task in measured}
        if place == 0:
            _require_budget(plan, found)
        spent = [one.seconds for task, one in measured.items() if task.iteration == iteration]
        progress.cost += sum(plan.cost(lengths[place], seconds) for seconds in spent)
        progress.due = [task for task in tasks if task not in found]
        if progress.due or not progress.live:
            return progress
        _compare(plan, progress, found)
        speed = np.mean([one.seconds for one in found.values()]) / lengths[place]
        prices = {
            rung: _price(plan, length, speed * length)
            for rung, length in zip(plan.rungs[place + 1 :], lengths[place + 1 :], strict=True)
        }
        _drop_for_budget(progress, iteration, prices, plan.budget)
        if len(progress.live) == 1:
            return progress
    return progress


def dropped_for_good(
    plan: Plan,
    progress: Progress,
    measured: Mapping[Task, Measured],
    failed: Mapping[Task, str],
) -> dict[str, Fate]:
    """The arms that no larger budget would bring back.

    With a larger budget more arms come to a rung, and of more arms, others may be worse. So
    decisions after the first arms were left out count only once these have come to the rung, too.

    Args:
        plan: plan of the search.
        progress: state of the search.
        measured: see :func:`advance`.
        failed: see :func:`advance`.

    Returns:
        Their fates, "worse", "rate" or "failed".
    """
    unlimited = advance(dataclasses.replace(plan, budget=math.inf), measured, failed)
    return {arm: fate for arm, fate in unlimited.fates.items() if arm in progress.fates}


def _compare(plan: Plan, progress: Progress, found: Mapping[Task, Measured]) -> None:
    """Rank the arms at a rung, and drop those that are worse for certain."""
    iteration = next(iter(found)).iteration
    values = {
        arm: np.stack([found[Task(iteration, seed, arm)].ap for seed in plan.seeds])
        for arm in progress.live
    }
    progress.live.sort(key=lambda arm: -values[arm][:, 0].mean())
    if not progress.rounds:
        _drop(progress, _other_rates(plan, progress.live, iteration))
    values = {arm: values[arm] for arm in progress.live}
    differences = {}
    if len(values) > 1:
        num_images = next(iter(found.values())).num_images
        differences = all_differences(values, num_images, len(plan.rungs))
    progress.rounds.append(Round(iteration, values, differences))
    worse = decided_worse(differences)
    _drop(progress, {arm: Fate("worse", iteration, other) for arm, other in worse.items()})


def _other_rates(plan: Plan, ranked: Sequence[str], iteration: int) -> dict[str, Fate]:
    """The arms that are not the best of their method."""
    fates = {}
    for arms in plan.arms.values():
        best, *others = [arm for arm in ranked if arm in arms] or [""]
        fates |= {arm: Fate("rate", iteration, best) for arm in others}
    return fates


def _drop_for_budget(
    progress: Progress, iteration: int, prices: Mapping[int, float], budget: float
) -> None:
    """Keep as many of the undecided arms, the best, as the budget brings to the end."""
    if prices:
        kept = num_affordable(len(progress.live), prices, budget - progress.cost)
        leader, others = progress.live[0], progress.live[kept:]
        if others and kept == 1:
            progress.wanted = progress.cost + 2 * sum(prices.values())
        _drop(progress, {arm: Fate("budget", iteration, leader) for arm in others})


def num_affordable(num_arms: int, prices: Mapping[int, float], budget: float) -> int:
    """The number of arms that can go on to the end, or else to the last rung that two can reach.

    All of them go to the next rung; the number at later ones is in inverse proportion to these.

    Args:
        num_arms: number of arms that are left.
        prices: price of one arm from the rung before, by the rungs that are left, ascending.
        budget: budget that is left.

    Returns:
        The number; 1 if the budget is too small for two, since one alone is compared with nothing
        and need not go on.
    """
    rungs = list(prices)
    for reach in range(len(rungs), 0, -1):
        for number in range(num_arms, 1, -1):
            counts = {rung: max(2, math.ceil(number * rungs[0] / rung)) for rung in rungs[:reach]}
            if sum(prices[rung] * count for rung, count in counts.items()) <= budget:
                return number
    return 1


def _price(plan: Plan, length: int, seconds: float) -> float:
    """Price of one arm with all seeds."""
    return len(plan.seeds) * plan.cost(length, seconds)


def _require_budget(plan: Plan, found: Mapping[Task, Measured]) -> None:
    """Refuse a budget below the first rung's price; hours are unknown before any training."""
    seconds = np.mean([one.seconds for one in found.values()]) if found else 0.0
    num_arms = sum(map(len, plan.arms.values()))
    price = num_arms * _price(plan, plan.rungs[0], seconds)
    if price > plan.budget:
        unit = "hours" if plan.in_hours else "iterations"
        raise UserError(
            f"The budget of {plan.budget:,g} {unit} is too small for one rung: {num_arms} arms "
            f"with {len(plan.seeds)} seeds to iteration {plan.rungs[0]:,} take {price:,.4g}. Raise "
            "it, or take away choices, learning rates or seeds."
        )


def _drop(progress: Progress, fates: Mapping[str, Fate]) -> None:
    fates = {arm: fate for arm, fate in fates.items() if arm in progress.live}
    progress.fates |= fates
    progress.live = [arm for arm in progress.live if arm not in fates]
