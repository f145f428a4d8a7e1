"""The results of a sweep in tables."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from sweep_runs import Run

from imbdet.files import replacing
from imbdet.wording import averaged

METRICS = ("AP", "AP50", "AP75")


def read_results(run: Run) -> dict[str, float | None]:
    """The metrics of a run, as "<data set>/<kind>/<metric>"; nothing if there are none yet.

    A metric is None where the data set has no objects.
    """
    results = {}
    for file in sorted(run.folder.glob("inference/*/metrics.json")):
        for kind, metrics in json.loads(file.read_text())["metrics"].items():
            for name in METRICS:
                results[f"{file.parent.name}/{kind}/{name}"] = metrics["overall"][name]
    return results


def write_table(runs: Sequence[Run], path: Path) -> None:
    """A line of CSV for each run: choices, metrics, whether it is finished, and its folder."""
    rows = [
        {**run.choices, **read_results(run), "finished": run.is_finished(), "folder": run.folder}
        for run in runs
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as draft, open(draft, "w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def summarize(runs: Sequence[Run]) -> Iterator[dict[str, str]]:
    """Of each combination, mean and standard deviation of the metrics over its finished runs."""
    by_choice = defaultdict(list)
    for run in runs:
        choices = tuple((axis, name) for axis, name in run.choices.items() if axis != "seed")
        by_choice[choices].append(read_results(run) if run.is_finished() else {})
    for choices, results in by_choice.items():
        results = [result for result in results if result]
        row = {**dict(choices), "runs": str(len(results))}
        for name in results[0] if results else ():
            row[name] = averaged([result[name] for result in results], digits=1)
        yield row
