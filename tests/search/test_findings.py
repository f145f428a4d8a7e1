"""Findings about the arms of a search, by its rows."""

from imbdet.search.findings import arm_rows
from imbdet.search.halving import advance
from imbdet.search.results import print_table
from tests.search.test_halving import RUNGS, measure, plan


def test_a_difference_is_of_the_last_rung_that_the_baseline_was_brought_to(capsys):
    of_plan, done = plan("baseline", "good", "same"), {}
    levels = {"baseline": 10.0, "good": 20.0, "same": 20.1}
    while (progress := advance(of_plan, done, {})).due:
        done |= measure(progress.due, levels)
    rows = {row.arm: row for row in arm_rows(of_plan, progress, done)}
    assert rows["baseline"].difference_at is None
    assert (rows["good"].iteration, rows["good"].difference_at) == (RUNGS[-1], RUNGS[0])
    print_table(list(rows.values()), [])
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.startswith("good"))
    assert f"] at {RUNGS[0]} " in line
