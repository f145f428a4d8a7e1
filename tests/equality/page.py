"""docs/equality.md: a table of published functions and of the differences of ours."""

import math
from collections import defaultdict
from pathlib import Path

from tests.equality import assigning, detr, pointwise, ranking, sampling, tails
from tests.equality.matrix import ROWS, Row, result, unit_of

PAGE = Path(__file__).parents[2] / "docs" / "equality.md"
SECTIONS = {
    "Assigners": assigning,
    "Samplers and weights": sampling,
    "Losses of single samples": pointwise,
    "Losses for long tails": tails,
    "Losses of a ranking": ranking,
    "Losses of DETRs": detr,
}
UNITS = {"indices": "Indices", "draws": "Draws", "values": "Values", "gradient": "Gradient"}
INTRODUCTION = """# Equality with published implementations

{functions} functions of {repositories} published repositories, {cases} cases. The code of the
authors was run on the CPU; its inputs and results are kept below `tests/`, and ours gets the same
inputs. This page is written by

```
.venv/bin/python tools/equality.py
```

A cell has the number of cases and the largest difference in any of them: for indices, how many
differ; for random draws, how far the frequencies are apart, in standard errors; for values (losses,
qualities, weights) and gradients, a share of the largest magnitude in the published array, rounded
up to a power of ten. Both sides are in float64 where the published code was run so, too. The last
column names the cases in which ours departs on purpose, whose arrays that differ are not counted,
and those in which the published code raises an error.
"""


def page() -> str:
    """The text of the page."""
    introduction = INTRODUCTION.format(
        functions=len(ROWS),
        repositories=len({row.published.split(":")[0] for row in ROWS}),
        cases=sum(len(row.paths) for row in ROWS),
    )
    parts = [introduction]
    for title, module in SECTIONS.items():
        rows = [row for row in ROWS if row.compare.__module__ == module.__name__]
        header = ["Published", "Here", *UNITS.values(), "On purpose"]
        table = [header, ["---"] * len(header), *map(cells, rows)]
        lines = "\n".join(f"| {' | '.join(line)} |" for line in table)
        parts.append(f"\n## {title}\n\n{lines}\n")
    return "".join(parts)


def cells(row: Row) -> list[str]:
    """Cells of a row of the table."""
    largest = defaultdict(list)
    for path in row.paths:
        of_case = defaultdict(list)
        for kind, value in result(row, path).differences.items():
            if kind not in row.departs_in(path):
                of_case[unit_of(kind)].append(value)
        for unit, values in of_case.items():
            largest[unit].append(max(values))
    numbers = [
        f"{len(largest[unit])}: {rounded(unit, max(largest[unit]))}" if largest[unit] else ""
        for unit in UNITS
    ]
    return [row.published, f"`{row.ours}`", *numbers, explanation(row)]


def rounded(unit: str, largest: float) -> str:
    """The largest difference."""
    if unit == "draws":
        return f"{largest:.1f}"
    if unit == "indices" or largest == 0:
        return f"{largest:.0f}"
    return f"1e{math.ceil(math.log10(largest))}"


def explanation(row: Row) -> str:
    """The intended differences of a row, in words."""
    cases = defaultdict(list)
    for stem, departure in row.departures.items():
        cases[departure.why].append(stem)
    for path in row.failed:
        cases["The published code raises an error."].append(path.stem)
    sentences = [f"{', '.join(map(short, stems))}: {why}" for why, stems in cases.items()]
    return " ".join([row.note, *sentences]).strip()


def short(stem: str) -> str:
    """The name of a case in its row."""
    return f"`{stem.split('__')[1]}`"
