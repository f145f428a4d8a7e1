"""Trainings that go on, and why others do not, with made-up measurements."""

import numpy as np
import pytest

from imbdet.errors import UserError
from imbdet.search.halving import (
    Measured,
    Plan,
    Task,
    advance,
    default_rungs,
    dropped_for_good,
    num_affordable,
)

RUNGS = (10, 30, 90)
SEEDS = (1, 2, 3)
NUM_GROUPS = 20


def plan(*methods, budget=1e9, seeds=SEEDS, rungs=RUNGS, in_hours=False):
    arms = {method: [method] for method in methods} if methods else {}
    return Plan(arms, seeds, rungs, budget, in_hours)


def measure(tasks, levels, *, noise=0.5, seconds=10.0):
    """Measurements with the level of the arm as mean; a seed affects each arm in another way."""
    found = {}
    for task in tasks:
        sign = (-1) ** sum(map(ord, task.arm))
        ap = np.full(1 + NUM_GROUPS, levels[task.arm] + sign * noise * (task.seed - 2))
        found[task] = Measured(ap, 100, seconds)
    return found


def run(of_plan, levels, **kwargs):
    """The progress at each rung, until there is nothing to train."""
    done, steps = {}, []
    while True:
        progress = advance(of_plan, done, {})
        steps.append(progress)
        if not progress.due:
            return steps
        done |= measure(progress.due, levels, **kwargs)


def test_at_first_every_arm_has_every_seed_to_the_first_rung():
    due = advance(plan("a", "b"), {}, {}).due
    assert due == [Task(10, seed, arm) for seed in SEEDS for arm in ("a", "b")]


def test_a_rung_waits_for_all_its_trainings():
    of_plan = plan("a", "b")
    first = advance(of_plan, {}, {}).due
    done = measure(first[:-1], {"a": 20, "b": 20})
    progress = advance(of_plan, done, {})
    assert progress.due == first[-1:]
    assert progress.rounds == []
    assert progress.winner is None


def test_what_is_worse_for_certain_stops_and_the_rest_goes_on():
    levels = {"a": 20, "b": 20.1, "c": 5}
    _, second, third, end = run(plan(*levels), levels)
    assert {task.arm for task in second.due} == {"a", "b"}
    assert {task.iteration for task in third.due} == {90}
    fate = second.fates["c"]
    assert (fate.kind, fate.iteration) == ("worse", 10)
    assert fate.reason in "ab"
    assert end.live[0] == end.winner
    assert set(end.live) == {"a", "b"}  # undecided


def test_one_that_is_left_need_not_go_on():
    levels = {"a": 20, "b": 5}
    _, end = run(plan(*levels), levels)
    assert end.winner == "a"
    assert end.cost == 2 * 3 * 10


def test_the_budget_decides_how_many_undecided_go_on():
    levels = {name: 20 + i / 100 for i, name in enumerate("abcdef")}
    # The first rung costs 180; three arms to the second and two to the last cost 180 + 360.
    _, second, _, end = run(plan(*levels, budget=180 + 180 + 360), levels)
    assert len({task.arm for task in second.due}) == 3
    assert len(end.live) == 2
    kinds = [fate.kind for fate in end.fates.values()]
    assert kinds == ["budget"] * 4
    assert end.cost == 720


def test_a_budget_that_ends_at_a_rung_leaves_the_best_one_there():
    levels = {"a": 20, "b": 20.2}
    *_, end = run(plan(*levels, budget=60), levels)
    assert len(end.rounds) == 1
    assert [fate.kind for fate in end.fates.values()] == ["budget"]


@pytest.mark.parametrize("budget", [90, 200, 300])
@pytest.mark.parametrize("in_hours", [False, True])
def test_the_budget_that_is_wanted_brings_two_to_the_end(budget, in_hours):
    levels = {"a": 20.0, "b": 20.3, "c": 20.1}
    scale = 10.0 / 3600 / 10 if in_hours else 1  # every part takes 10 seconds, as 10 iterations
    first = plan(*levels, budget=budget * scale, in_hours=in_hours)
    progress = run(first, levels)[-1]
    assert progress.wanted is not None
    assert progress.wanted > first.budget
    second = plan(*levels, budget=progress.wanted, in_hours=in_hours)
    progress = run(second, levels)[-1]
    assert progress.wanted is None
    assert (progress.rounds[-1].iteration, len(progress.rounds[-1].values)) == (90, 2)
    assert progress.cost <= second.budget


def test_a_method_keeps_its_best_learning_rate_and_no_more_is_said_of_rates():
    arms = {"a": ["a-1", "a-2"], "b": ["b-1", "b-2"]}
    levels = {"a-1": 10, "a-2": 20, "b-1": 20, "b-2": 3}
    _, second, *_ = run(Plan(arms, SEEDS, RUNGS, 1e9), levels)
    assert {task.arm for task in second.due} == {"a-2", "b-1"}
    assert second.fates["a-1"].kind == second.fates["b-2"].kind == "rate"
    assert second.fates["a-1"].reason == "a-2"
    assert set(second.rounds[0].values) == {"a-2", "b-1"}


def test_a_failure_stops_its_arm_from_that_rung_on():
    of_plan = plan("a", "b", "c")
    levels = {"a": 20, "b": 20, "c": 5}
    first = advance(of_plan, {}, {}).due
    done = measure(first, levels)
    second = advance(of_plan, done, {}).due
    failed = {second[0]: "error: the loss is not finite"}
    progress = advance(of_plan, done | measure(second[1:], levels), failed)
    assert progress.fates["c"].kind == "worse"  # what was decided before stays
    assert progress.fates["a"].kind == "failed"
    assert progress.fates["a"].iteration == 30
    assert progress.winner == "b"
    # All train to the first rung, and to the second those that did not fail, also of that arm.
    assert progress.cost == 3 * 3 * 10 + 5 * 20


def test_what_is_decided_while_arms_are_left_out_is_not_for_good():
    early = {"a": 20.2, "b": 20.1, "c": 20, "d": 5}
    of_plan = plan(*early, budget=4 * 30 + 2 * 60 + 2 * 180)  # two of them can come to the end
    done = measure(advance(of_plan, {}, {}).due, early)
    late = {**early, "b": 5}
    done |= measure(advance(of_plan, done, {}).due, late)
    progress = advance(of_plan, done, {})
    assert {arm: fate.kind for arm, fate in progress.fates.items()} == {
        "b": "worse",
        "c": "budget",
        "d": "worse",
    }
    assert dropped_for_good(of_plan, progress, done, {}).keys() == {"d"}
    done |= measure([Task(30, seed, "c") for seed in SEEDS], late)
    assert dropped_for_good(of_plan, progress, done, {}).keys() == {"b", "d"}


def test_a_rate_that_is_not_kept_and_a_failure_are_for_good():
    of_plan = Plan({"a": ["a-1", "a-2"], "b": ["b"]}, SEEDS, RUNGS, 1e9)
    first = advance(of_plan, {}, {}).due
    done = measure(first, {"a-1": 10, "a-2": 20, "b": 20})
    failed = {Task(30, 1, "b"): "error: the loss is not finite"}
    progress = advance(of_plan, done, failed)
    fates = dropped_for_good(of_plan, progress, done, failed)
    assert {arm: fate.kind for arm, fate in fates.items()} == {"a-1": "rate", "b": "failed"}


def test_where_all_fail_nobody_wins():
    of_plan = plan("a", "b")
    failed = {task: "error: no data" for task in advance(of_plan, {}, {}).due}
    progress = advance(of_plan, {}, failed)
    assert progress.due == []
    assert progress.winner is None


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_the_measurements_does_not_matter(order):
    levels = {name: 20 + i for i, name in enumerate("abcd")}
    done = {}
    while due := advance(plan(*levels, budget=700), done, {}).due:
        done |= dict(list(measure(due, levels).items())[::order])
    assert advance(plan(*levels, budget=700), done, {}).winner == "d"


def test_hours_are_those_that_were_measured():
    levels = {"a": 20, "b": 20.2, "c": 20.1}
    # 9 trainings of 600 seconds are 1.5 hours; two arms to the next rung take two more.
    steps = run(plan(*levels, budget=4.5, in_hours=True), levels, seconds=600)
    assert steps[1].cost == pytest.approx(1.5)
    assert len({task.arm for task in steps[1].due}) == 3 - 1 + (4.5 - 1.5 >= 3)


@pytest.mark.parametrize(("in_hours", "budget"), [(False, 89), (True, 1.4)])
def test_a_budget_too_small_for_one_rung_is_refused(in_hours, budget):
    of_plan = plan("a", "b", "c", budget=budget, in_hours=in_hours)
    done = measure([Task(10, 1, "a")], {"a": 20}, seconds=600)
    with pytest.raises(UserError, match="too small for one rung: 3 arms with 3 seeds"):
        advance(of_plan, done, {})


def test_hours_are_unknown_before_a_training():
    assert advance(plan("a", "b", budget=1e-6, in_hours=True), {}, {}).due


@pytest.mark.parametrize(
    ("number", "prices", "budget", "expected"),
    [
        (9, {3: 1, 9: 1}, 12, 9),  # 9 + 3
        (9, {3: 1, 9: 1}, 11, 8),  # 8 + 3
        (9, {3: 1, 6: 1}, 12, 8),  # 8 + 4
        (9, {3: 1, 9: 10}, 22, 2),
        (9, {3: 1, 9: 10}, 19, 9),  # two cannot come to the end: all to the next rung
        (9, {3: 10, 9: 10}, 20, 2),
        (9, {3: 10, 9: 10}, 19, 1),
    ],
)
def test_how_many_can_go_on(number, prices, budget, expected):
    assert num_affordable(number, prices, budget) == expected


@pytest.mark.parametrize(
    ("end", "warmup", "rungs"),
    [(450, 50, (112, 450)), (450, 112, (450,)), (10, 0, (2, 10)), (1, 0, (1,))],
)
def test_rungs_begin_after_the_warm_up(end, warmup, rungs):
    assert default_rungs(end, warmup) == rungs
