"""The files and the table of a forecast."""

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tabulate import tabulate

from imbdet.figures.estimates import CONFIDENCE, Estimate
from imbdet.files import replacing, without_nan
from imbdet.forecast.ranking import Forecast
from imbdet.wording import counted

FORECAST_FILE = "forecast.json"


def write_results(
    output: Path, rows: Sequence[Forecast], about: Mapping[str, Any], said: Sequence[str]
) -> None:
    """Write ``forecast.json`` and ``table.csv``.

    Args:
        output: folder of the files.
        rows: forecasts of the rules.
        about: facts about the weights and the data.
        said: sentences on the forecasts.
    """
    content = {
        **about,
        "sentences": said,
        "rules": [{**asdict(row), "verdict": row.verdict} for row in rows],
    }
    with replacing(output / FORECAST_FILE) as draft:
        draft.write_text(json.dumps(without_nan(content), indent=1) + "\n")
    columns = [_flat(row) for row in rows]
    with replacing(output / "table.csv") as draft, open(draft, "w", newline="") as file:
        writer = csv.DictWriter(file, list(columns[0]))
        writer.writeheader()
        writer.writerows(columns)


def format_table(rows: Sequence[Forecast]) -> str:
    """A table for a terminal, with a row for each rule in the given order."""
    cells = [
        {
            "": place,
            "rule": row.rule,
            "alignment": _interval(row.alignment),
            "minus the first rule": _difference(row),
            **{loss: f"{one.value:.3f}" for loss, one in row.by_loss.items()},
            **{size: f"{value:.3f}" for size, value in row.by_size.items()},
            "best class": _extreme(row.by_class, max),
            "worst class": _extreme(row.by_class, min),
        }
        for place, row in enumerate(rows, 1)
    ]
    return tabulate(cells, headers="keys", disable_numparse=True)


def sentences(rows: Sequence[Forecast], baseline: str) -> list[str]:
    """Sentences on what is decided, and on how far that can be trusted.

    Args:
        rows: forecasts of the rules.
        baseline: name of the first rule of the space.
    """
    named = {
        verdict: [row.rule for row in rows if row.verdict == verdict]
        for verdict in ("better", "worse", "undecided")
    }
    said = [
        f"{words} {baseline}: {', '.join(names)}."
        for words, names in (
            ("Ahead of", named["better"]),
            ("Behind", named["worse"]),
            ("Undecided from", named["undecided"]),
        )
        if names
    ]
    empty = [row.rule for row in rows if math.isnan(row.alignment.value)]
    if empty:
        said.append(f"Without any gradient on these images: {', '.join(empty)}.")
    of_all = counted(len(rows) - 1, "difference")
    return [
        *said,
        f"Intervals have {CONFIDENCE:.0%} confidence, those of {of_all} together.",
        "This is an experiment: that a rule which is ahead here leads to a higher AP is not shown.",
    ]


def _interval(one: Estimate) -> str:
    return f"{one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"


def _difference(row: Forecast) -> str:
    if row.difference is None or math.isnan(row.difference.value):
        return ""
    return f"{_interval(row.difference)}, {row.verdict}"


def _extreme(by_class: Mapping[str, float], choose: Callable) -> str:
    known = {name: value for name, value in by_class.items() if not math.isnan(value)}
    if not known:
        return ""
    name = choose(known, key=known.__getitem__)
    return f"{name} {known[name]:+.3f}"


def _flat(row: Forecast) -> dict[str, Any]:
    ends = asdict(row.difference) if row.difference else dict.fromkeys(("value", "low", "high"), "")
    return {
        "rule": row.rule,
        "alignment": row.alignment.value,
        "low": row.alignment.low,
        "high": row.alignment.high,
        **{f"difference {name}": value for name, value in ends.items()},
        "verdict": row.verdict,
        **{loss: one.value for loss, one in row.by_loss.items()},
        **row.by_size,
        **{f"class {name}": value for name, value in row.by_class.items()},
    }
