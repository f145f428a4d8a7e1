"""The findings of a search: a row for each arm, and sentences."""

import math
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imbdet.figures.coco_table import format_estimate
from imbdet.figures.estimates import CONFIDENCE, Estimate
from imbdet.search.decision import paired_difference, pooled_noise
from imbdet.search.halving import Fate, Measured, Plan, Progress, Task
from imbdet.search.space import Space
from imbdet.wording import averaged, counted

# AP in percent below which detectors have learned next to nothing.
_TOO_LITTLE = 1.0


@dataclass(frozen=True)
class FinalFigure:
    """AP of the winner and the baseline, on a split and with seeds that the search did not use.

    Attributes:
        dataset: the split.
        seeds: seeds of the trainings.
        winner: AP in percent of the winner with each seed.
        baseline: AP in percent of the baseline with each seed.
        difference: winner minus baseline; None where the baseline is the winner.
    """

    dataset: str
    seeds: Sequence[int]
    winner: Sequence[float]
    baseline: Sequence[float]
    difference: Estimate | None


@dataclass(frozen=True)
class Row:
    """An arm in the table of a search.

    Attributes:
        arm: name of the arm.
        iteration: the last rung that it was brought to; 0 = none.
        aps: AP in percent of its trainings there.
        difference: arm minus baseline at the last rung where both were compared; None without one.
        difference_at: that rung, which may be an earlier one; None without one.
        fate: why the arm does not go on, or where it stands, in words.
    """

    arm: str
    iteration: int
    aps: Sequence[float]
    difference: Estimate | None
    difference_at: int | None
    fate: str


def baseline_of(plan: Plan, progress: Progress) -> str:
    """The arm of the baseline with its best learning rate, or the first while none is known."""
    arms = next(iter(plan.arms.values()))
    compared = progress.rounds[0].values if progress.rounds else ()
    return next((arm for arm in arms if arm in compared), arms[0])


def compare_finally(
    dataset: str, measured: Mapping[Task, Measured], end: int, winner: str, baseline: str
) -> FinalFigure:
    """Compare the winner with the baseline by the trainings of the end, all of which are done."""
    seeds = sorted({task.seed for task in measured})
    first, second = (
        np.stack([measured[Task(end, seed, arm)].ap for seed in seeds])
        for arm in (winner, baseline)
    )
    difference = None
    if winner != baseline:
        noise = pooled_noise(np.stack([first[:, 0], second[:, 0]]))
        num_images = next(iter(measured.values())).num_images
        difference = paired_difference(first, second, noise, num_images, CONFIDENCE)
    return FinalFigure(dataset, seeds, list(first[:, 0]), list(second[:, 0]), difference)


def arm_rows(plan: Plan, progress: Progress, measured: Mapping[Task, Measured]) -> list[Row]:
    """The arms, the winner first, then those that came furthest."""
    baseline = baseline_of(plan, progress)
    rows = []
    for arm in [arm for arms in plan.arms.values() for arm in arms]:
        reached = [rung for rung in plan.rungs if _aps(measured, plan, arm, rung)]
        iteration = reached[-1] if reached else 0
        beside = [found for found in progress.rounds if (arm, baseline) in found.differences]
        rows.append(
            Row(
                arm,
                iteration,
                _aps(measured, plan, arm, iteration),
                beside[-1].differences[arm, baseline] if beside else None,
                beside[-1].iteration if beside else None,
                _describe_fate(arm, progress, is_baseline=arm == baseline),
            )
        )
    return sorted(
        rows,
        key=lambda row: (
            row.arm != progress.winner,
            -row.iteration,
            -statistics.mean(row.aps or [0.0]),
        ),
    )


def _aps(measured: Mapping[Task, Measured], plan: Plan, arm: str, rung: int) -> list[float]:
    tasks = [Task(rung, seed, arm) for seed in plan.seeds]
    return [float(measured[task].ap[0]) for task in tasks if task in measured]


def _describe_fate(arm: str, progress: Progress, *, is_baseline: bool) -> str:
    fate = progress.fates.get(arm)
    text = "under way" if fate is None else _describe(fate)
    if fate is None and progress.winner is not None:
        is_winner = arm == progress.winner
        text = "the winner" if is_winner else f"undecided from {progress.winner}"
    return f"{text}; the baseline" if is_baseline else text


def _describe(fate: Fate) -> str:
    at = f"at iteration {fate.iteration:,}"
    return {
        "worse": f"worse than {fate.reason} {at}",
        "budget": f"undecided, no budget for it after {fate.iteration:,}",
        "rate": f"another learning rate, {fate.reason}, was better {at}",
        "failed": f"failed {fate.reason}",
    }[fate.kind]


def sentences(
    space: Space,
    plan: Plan,
    progress: Progress,
    final: FinalFigure | None,
    failures: Collection[Task],
) -> list[str]:
    """Sentences on what was tried, what it cost and what is decided.

    Args:
        space: the space of arms.
        plan: plan of the search.
        progress: progress of the search.
        final: the final comparison; None before the end.
        failures: trainings of the final comparison that failed.
    """
    seeds = ", ".join(map(str, plan.seeds))
    verb = "was" if len(plan.arms) == 1 else "were"
    tried = f"{counted(len(plan.arms), 'method')} {verb} tried"
    if len(space.arms) > len(plan.arms):
        tried += f" (with learning rates, {len(space.arms)} arms in all)"
    said = [
        f"{tried} with seeds {seeds} and compared at {_iterations(plan.rungs)}.",
        _cost(space, plan, progress),
    ]
    said += [*_too_early(progress), *_decisions(plan, progress)]
    if progress.due:
        said.append("The search has not come to its end: the same command goes on.")
    elif final is not None:
        said.append(_describe_final(final, progress.winner or "", baseline_of(plan, progress)))
    elif progress.winner is not None:
        said.append(_describe_missing_final(failures))
    return said


def _cost(space: Space, plan: Plan, progress: Progress) -> str:
    if plan.in_hours:
        return f"The search cost {progress.cost:.2f} of {plan.budget:g} h."
    whole = len(space.arms) * len(plan.seeds) * plan.rungs[-1]
    return (
        f"The search cost {progress.cost:,.0f} of {plan.budget:,.0f} iterations; all arms to their "
        f"end would have cost {whole:,}."
    )


def _too_early(progress: Progress) -> Iterator[str]:
    """A sentence on the rungs at which next to nothing is learned yet."""
    early = [
        found.iteration
        for found in progress.rounds
        if all(runs[:, 0].mean() < _TOO_LITTLE for runs in found.values.values())
    ]
    if early:
        yield (
            f"At {_iterations(early)} no method had an AP of {_TOO_LITTLE:g}: their order says "
            "little there. A later first rung or a longer schedule tells more."
        )


def _iterations(rungs: Sequence[int]) -> str:
    """ "iteration 9", "iterations 1, 3, 9"."""
    noun = "iteration" if len(rungs) == 1 else "iterations"
    return f"{noun} {', '.join(f'{rung:,}' for rung in rungs)}"


def _decisions(plan: Plan, progress: Progress) -> list[str]:
    kinds = {kind: [a for a, f in progress.fates.items() if f.kind == kind] for kind in _KINDS}
    said = [f"{words}: {', '.join(kinds[kind])}." for kind, words in _KINDS.items() if kinds[kind]]
    if progress.winner is None:
        return said
    leader, *others = progress.live
    reached = progress.rounds[-1].iteration
    said.append(f"The winner of the search is {leader}, by the AP at iteration {reached:,}.")
    if leader == baseline_of(plan, progress):
        said.append("That is the baseline: nothing is ahead of it.")
    if others:
        said.append(f"Undecided from {leader}, at the last rung: {', '.join(others)}.")
    if progress.wanted is not None:
        option = f"--iterations {progress.wanted:.0f}"
        if plan.in_hours:
            option = f"--hours {math.ceil(100 * progress.wanted) / 100:g}"
        said.append(
            f"It was left alone for want of budget: the same command with {option} compares the "
            f"best two at iteration {plan.rungs[-1]:,}."
        )
    return said


_KINDS = {
    "worse": "Decided to be worse than another",
    "budget": "Still undecided when the budget for them ran out",
    "failed": "Failed",
}


def _describe_missing_final(failures: Collection[Task]) -> str:
    if not failures:
        return "The final comparison is not done yet: the same command goes on."
    first = min(failures)
    return (
        f"The final comparison is not done, as {first.arm} with seed {first.seed} failed: the same "
        "command with --retry-failed goes on."
    )


def _describe_final(final: FinalFigure, winner: str, baseline: str) -> str:
    seeds = ", ".join(map(str, final.seeds))
    where = f"On '{final.dataset}' and with seeds {seeds}, which the search never saw,"
    ap = averaged(final.winner, digits=1)
    if final.difference is None:
        return f"{where} {winner} has an AP of {ap}."
    verdict = {
        "better": f"{winner} is better than {baseline}",
        "worse": f"{winner} is worse than {baseline}",
    }.get(final.difference.verdict, f"whether {winner} is better than {baseline} is undecided")
    chance = f"at {CONFIDENCE:.0%} confidence"
    if np.isnan(final.difference.low):
        chance = "without an interval, as too few of its images have objects"
    return (
        f"{where} {verdict}: AP {ap} and {averaged(final.baseline, digits=1)}, "
        f"{format_estimate(final.difference, '+')} {chance}."
    )
