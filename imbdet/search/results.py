"""Writes what a search has found: tables, a figure, sentences, and the winner's config."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from tabulate import tabulate

from imbdet.config import load_config
from imbdet.config_files.keys import OF_TRAININGS, changed_keys
from imbdet.figures.coco_table import format_estimate
from imbdet.figures.search_rungs import Reached, SearchRungs
from imbdet.figures.study import NothingToShow, write_study, write_summary
from imbdet.files import replacing, without_nan
from imbdet.report import write_report
from imbdet.report.search_tab import SEARCH_FILE
from imbdet.search.findings import FinalFigure, Row
from imbdet.search.halving import Measured, Task
from imbdet.search.searched_configs import load_arm
from imbdet.search.space import Arm
from imbdet.wording import averaged


def write_results(
    output: Path,
    rows: Sequence[Row],
    said: Sequence[str],
    final: FinalFigure | None,
    measured: Mapping[Task, Measured],
) -> None:
    """Write ``search.json``, ``table.csv``, the figure and ``report.html``.

    Args:
        output: the folder of the search.
        rows: rows of the arms.
        said: sentences about the search.
        final: the final comparison; None before the end.
        measured: results of all trainings.
    """
    content = {
        "sentences": said,
        "arms": [asdict(row) for row in rows],
        "final": final and asdict(final),
    }
    with replacing(output / SEARCH_FILE) as draft:
        draft.write_text(json.dumps(without_nan(content), indent=1) + "\n")
    _write_csv(output / "table.csv", rows)
    write_summary([write_study(SearchRungs, lambda: _rungs(rows, measured), output)], output)
    write_report(output)


def print_table(rows: Sequence[Row], said: Sequence[str]) -> None:
    """Print the rows of the arms and the sentences on a terminal."""
    headers = ["arm", "iteration", "AP", "minus baseline", "what became of it"]
    cells = [(row.arm, f"{row.iteration:,}", _aps(row), _interval(row), row.fate) for row in rows]
    print(tabulate(cells, headers, disable_numparse=True))
    print("\n" + "\n".join(said))


def write_winner(path: Path, arm: Arm, said: Sequence[str]) -> None:
    """Write the winner's config as a YAML file without bases: the keys that are not the defaults.

    Args:
        path: path of the file.
        arm: the winner.
        said: sentences about the search, for its head.
    """
    keys = changed_keys(load_arm(arm), load_config())
    nested: dict[str, Any] = {}
    for key, (_, value) in keys.items():
        if key in OF_TRAININGS:
            continue
        *groups, name = key.split(".")
        node = nested
        for group in groups:
            node = node.setdefault(group, {})
        node[name] = value
    head = "".join(f"# {sentence}\n" for sentence in said)
    with replacing(path) as draft:
        draft.write_text(head + yaml.safe_dump(_plain(nested), sort_keys=False) + "VERSION: 2\n")


def _plain(value: Any) -> Any:
    """The value with lists in place of tuples, which YAML lacks."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    with replacing(path) as draft, open(draft, "w", newline="") as file:
        writer = csv.writer(file)
        header = ["arm", "iteration", "AP", "difference", "low", "high", "difference_at", "fate"]
        writer.writerow(header)
        for row in rows:
            ap = sum(row.aps) / len(row.aps) if row.aps else ""
            ends = asdict(row.difference).values() if row.difference else ("", "", "")
            writer.writerow([row.arm, row.iteration, ap, *ends, row.difference_at, row.fate])


def _rungs(rows: Sequence[Row], measured: Mapping[Task, Measured]) -> SearchRungs:
    if not measured:
        raise NothingToShow("nothing is trained yet.")
    by_arm = {row.arm: [task for task in sorted(measured) if task.arm == row.arm] for row in rows}
    return SearchRungs(
        [
            Reached(task.arm, task.seed, task.iteration, float(measured[task].ap[0]))
            for tasks in by_arm.values()
            for task in tasks
        ]
    )


def _aps(row: Row) -> str:
    return averaged(row.aps, digits=1) if row.aps else "-"


def _interval(row: Row) -> str:
    if row.difference is None:
        return ""
    text = format_estimate(row.difference, "+")
    return text if row.difference_at == row.iteration else f"{text} at {row.difference_at:,}"
