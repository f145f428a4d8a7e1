#!/usr/bin/env python
"""Tables of what benchmarks/methods.py, studies.py, suspects.py and others wrote, as Markdown.

    python benchmarks/results_table.py docs/results/bccd_retinanet.json    # print one
    python benchmarks/results_table.py --page docs/results.md              # renew those of a page

In a page, a table stands between the lines `<!-- table: results/bccd_retinanet.json -->`, a path
from the page's folder, and `<!-- end of table -->`.
"""

import argparse
import json
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from runs import BY_FREQUENCY, by_choice
from tabulate import tabulate

from imbdet.wording import averaged

# Two-sided 95 % quantiles of Student's t distribution, by degrees of freedom.
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)

# Gains in AP that articles report on COCO, by the detector and what the method is compared with.
# All are of a ResNet-50 for one schedule, but DR loss: a ResNet-101 for two, at several scales.
PUBLISHED_GAINS = {
    ("retinanet", "GIoU"): {
        "GHM-C+GIoU": "+0.2",  # 1811.05181, with smooth L1 loss
        "aLRP": "-0.2",  # 2009.13592, 100 epochs on images of 500 pixels
        "DR+GIoU": "+2.6",  # 1907.10156, with smooth L1 loss
    },
    ("faster_rcnn", "plain"): {
        "OHEM": "+0.4",  # 1904.04821, table of random, hard and prime samples
        "Libra": "+2.6",  # 1904.02701
        "Libra-Timm": "+2.6",  # the same
        "PISA": "+2.0",  # 1904.04821
    },
}

_BY_FREQUENCY_TITLE = "By frequency of the classes in training:"


def check_seeds(parser: argparse.ArgumentParser, seeds: Sequence[int]) -> None:
    """End the program before anything is trained if a table has no intervals for these seeds."""
    if len(set(seeds)) < len(seeds):
        parser.error("--seeds: one is named twice")
    if len(seeds) > 1 + len(T_QUANTILES):
        parser.error(f"--seeds: {len(seeds)} are more than the table has intervals for")


def write_results(path: Path, results: dict) -> None:
    """Write what a table is made of, also into a new folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def format_table(results: dict) -> str:
    """The tables of forecasts, of methods, of suspects, of parts of the data or of a study."""
    formats = {
        "correlations": format_forecasts,  # of methods, too
        "methods": format_methods,
        "detectors": format_suspects,
        "parts": format_parts,
    }
    for key, format_results in formats.items():
        if key in results:
            return format_results(results)
    return format_study(results)


def format_methods(results: dict) -> str:
    """Tables with a row for each method: what decides, metrics one by one, the trainings.

    Metrics are means over the seeds, with their standard deviation where there are several. They
    are those of the test split if it was evaluated, otherwise of the validation split. Beside the
    AP stands its difference to the first method, seed by seed: its mean, the 95 % interval of the
    mean by Student's t, and "undecided" where the interval holds 0. Then comes what the method's
    article reports, if one does. The same differences are given for rare, common and frequent
    classes, in place of the AP of each class, where these groups are known.

    Args:
        results: see ``Benchmark.run``.
    """
    methods = results["methods"]
    split = split_of(results)
    baseline = next(iter(methods))
    measured = methods[baseline]["runs"][0][split]
    groups = [metric for metric in BY_FREQUENCY if metric in measured]
    others = [metric for metric in measured if metric not in ("AP", *groups)]
    by_iou = "By IoU and class:"
    if groups:
        others = [metric for metric in others if not metric.startswith("AP ")]
        by_iou = "By IoU:"
    if len(groups) == 1:
        groups = []  # it is of all classes, as AP
    seeds = _name_seeds(methods[baseline]["runs"])
    sections: dict[str, Callable[[str], dict[str, str]]] = {
        f"{results['detector']} on {results['setting']}, {split} split, {seeds}:": lambda name: {
            **_compared(["AP"], name, methods, split),
            **_published(name, results),
        },
        _BY_FREQUENCY_TITLE: lambda name: _compared(groups, name, methods, split),
        by_iou: lambda name: _means(methods[name]["runs"], split, others),
        "The trainings:": lambda name: _training(methods[name]),
    }
    if not groups:
        del sections[_BY_FREQUENCY_TITLE]
    return "\n\n".join(
        _titled(title, [{"method": name, **describe(name)} for name in methods])
        for title, describe in sections.items()
    )


def split_of(results: dict) -> str:
    """The split that decides: "test" if all runs were evaluated on it, otherwise "val"."""
    runs = (run for result in results["methods"].values() for run in result["runs"])
    return "test" if all("test" in run for run in runs) else "val"


def _compared(metrics: Sequence[str], name: str, methods: dict, split: str) -> dict[str, str]:
    """Metrics of a method, each with its difference to that of the first method."""
    baseline = next(iter(methods))
    runs = methods[name]["runs"]
    columns = {}
    for metric in metrics:
        columns.update(_means(runs, split, [metric]))
        if len(runs) > 1:
            found = "" if name == baseline else str(difference(metric, name, methods, split))
            columns[f"{metric} - {baseline}"] = found
    return columns


def _published(name: str, results: dict) -> dict[str, str]:
    """What a method's article reports, if that of any of the methods does."""
    methods = results["methods"]
    gains = PUBLISHED_GAINS.get((results["detector"], next(iter(methods))), {})
    return {"published, on COCO": gains.get(name, "")} if gains.keys() & methods.keys() else {}


def format_study(results: dict) -> str:
    """Three tables with a row for each choice of the settings: AP, that of classes, the trainings.

    Metrics are means over the seeds, with their standard deviation where there are several.

    Args:
        results: see ``studies.gather``.
    """
    tables = ([], [], [])
    for runs in by_choice(results["runs"]).values():
        metrics = _means(runs, "val", runs[0]["val"])
        of_classes = {name: value for name, value in metrics.items() if name.startswith("AP ")}
        overall = {name: value for name, value in metrics.items() if name not in of_classes}
        for rows, row in zip(tables, (overall, of_classes, _costs(runs)), strict=True):
            rows.append({**runs[0]["choices"], **row})
    titles = (
        f"{results['question']} Validation split, {_name_seeds(results['runs'])}:",
        "By class:",
        "The trainings:",
    )
    return "\n\n".join(map(_titled, titles, tables))


def format_suspects(results: dict) -> str:
    """A table for each kind of fault and detector, with a row for each suspicion; then one of AP.

    Args:
        results: see ``benchmarks/suspects.py``.
    """
    sections = []
    for detector, runs in results["detectors"].items():
        seeds = _name_seeds(runs)
        for kind, first in runs[0]["kinds"].items():
            found = [run["kinds"][kind] for run in runs]
            shares = averaged([100 * run["faults"] / run["of"] for run in found], digits=1)
            rows = [
                {
                    "by": name,
                    **{
                        metric: averaged(
                            [run["suspicions"][name][metric] for run in found], digits=2
                        )
                        for metric in first["suspicions"][name]
                    },
                }
                for name in first["suspicions"]
            ]
            what = "images with missing objects" if kind == "missing" else f"{kind} annotations"
            title = f"{detector}, {what} ({shares} %), {seeds}:"
            sections.append(_titled(title[0].upper() + title[1:], rows))
        if "AP" in runs[0]:
            title = f"{detector}, AP by what is done about the faults, {seeds}:"
            sections.append(_titled(title[0].upper() + title[1:], _remedies(runs)))
    return "\n\n".join(sections)


def _remedies(runs: Sequence[dict]) -> list[dict[str, str]]:
    methods = remedies_of(runs)
    return [{"trained on": name, **_compared(["AP"], name, methods, "val")} for name in methods]


def remedies_of(runs: Sequence[dict]) -> dict[str, dict]:
    """The trainings on faulty annotations and others as methods, the faulty ones first.

    Args:
        runs: runs of a detector, see ``benchmarks/suspects.py``.
    """
    names = sorted(runs[0]["AP"], key=lambda name: name != "faulty")
    return {name: {"runs": [{"val": {"AP": run["AP"][name]}} for run in runs]} for name in names}


def format_parts(results: dict) -> str:
    """A row for each part of the data, with its difference to the first one of its size.

    Args:
        results: see ``benchmarks/prune.py``.
    """
    rows = [_part("100 %", "", results["whole"], _means(results["whole"], "val", ["AP"]))]
    for share, kinds in results["parts"].items():
        methods = {by: {"runs": runs} for by, runs in kinds.items()}
        for by, runs in kinds.items():
            rows.append(_part(share, by, runs, _compared(["AP"], by, methods, "val")))
    seeds = _name_seeds(results["whole"])
    return _titled(f"{results['detector']} on parts of the data, {seeds}:".capitalize(), rows)


def _part(share: str, by: str, runs: Sequence[dict], found: dict[str, str]) -> dict[str, str]:
    objects = averaged([run["objects"] for run in runs], digits=0)
    return {"images": share, "by": by, "objects": objects, **found}


def format_forecasts(results: dict) -> str:
    """A row for each rule, the highest AP first, and the correlations with what they decide.

    Args:
        results: see ``benchmarks/forecast.py``; what is to predict AP is the first correlation.
    """
    methods, correlations = results["methods"], results["correlations"]
    rows = [
        {
            "rule": name,
            **_compared(["AP"], name, methods, "val"),
            **{
                predictor: averaged(
                    [run["forecast"][predictor] for run in result["runs"]], digits=2
                )
                for predictor in correlations
            },
        }
        for name, result in methods.items()
    ]
    rows.sort(key=lambda row: -float(row["AP"].split()[0]))
    chances = [
        {
            "forecast by": name,
            "Spearman's correlation with AP": f"{one['spearman']:+.2f} [{one['low']:+.2f}, "
            f"{one['high']:+.2f}]",
        }
        for name, one in correlations.items()
    ]
    main, first = next(iter(correlations.items()))
    verdict = "undecided, since the interval holds 0"
    if first["low"] > 0:
        verdict = f"yes: rules with a higher {main} have a higher AP"
    elif first["high"] < 0:
        verdict = f"no: rules with a higher {main} have a lower AP"
    baseline = next(iter(methods.values()))
    return "\n\n".join(
        [
            _titled(f"AP and forecasts of rules, {_name_seeds(baseline['runs'])}:", rows),
            _titled("The correlations:", chances),
            f"Whether the {main} of {results['rules']} rules tells AP: {verdict}.",
        ]
    )


class Difference(NamedTuple):
    """The difference of two methods: the mean over seeds, and its 95 % interval by Student's t."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, differences: Sequence[float]) -> "Difference":
        """Compute it from the differences of 2 to 10 seeds."""
        mean = statistics.mean(differences)
        error = statistics.stdev(differences) / len(differences) ** 0.5
        quantile = T_QUANTILES[len(differences) - 2]
        return cls(mean, mean - quantile * error, mean + quantile * error)

    @property
    def is_decided(self) -> bool:
        """Whether the interval leaves out 0."""
        return not self.low <= 0 <= self.high

    @property
    def numbers(self) -> str:
        """The mean and its interval, such as "+2.2 [+0.5, +3.8]"."""
        return f"{self.mean:+.1f} [{self.low:+.1f}, {self.high:+.1f}]"

    def __str__(self) -> str:
        return self.numbers if self.is_decided else f"{self.numbers}, undecided"


def difference(metric: str, name: str, methods: dict, split: str) -> Difference:
    """The difference of a method to the first one, seed by seed."""
    pairs = zip(methods[name]["runs"], next(iter(methods.values()))["runs"], strict=True)
    return Difference.of([run[split][metric] - other[split][metric] for run, other in pairs])


def renew(page: Path) -> None:
    """Write the tables of a page anew from the files that it names."""

    def table(match: re.Match[str]) -> str:
        results = json.loads((page.parent / match[2]).read_text())
        return f"{match[1]}\n{format_table(results)}\n\n{match[3]}"

    pattern = r"(<!-- table: (.*?) -->)\n.*?(<!-- end of table -->)"
    page.write_text(re.sub(pattern, table, page.read_text(), flags=re.DOTALL))


def _training(result: dict) -> dict[str, str]:
    """How the learning rate of a method was chosen, and what its trainings took."""
    chosen = {}
    if "learning_rate" in result:
        rates = ", ".join(f"{float(rate):g}" for rate in result["choice"])
        chosen["learning rate"] = f"{result['learning_rate']:g}"
        chosen[f"of {rates}, by val AP"] = ", ".join(
            f"{ap:.1f}" for ap in result["choice"].values()
        )
    return {**chosen, **_costs(result["runs"])}


def _name_seeds(runs: Iterable[dict]) -> str:
    """The seeds in words, such as "seed 1" or "seeds 1, 2"."""
    seeds = dict.fromkeys(str(run["seed"]) for run in runs)
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}"


def _means(runs: Sequence[dict], split: str, metrics: Iterable[str]) -> dict[str, str]:
    """Means of metrics over the runs, by name."""
    return {name: averaged([run[split][name] for run in runs], digits=1) for name in metrics}


def _costs(runs: Sequence[dict]) -> dict[str, str]:
    """Seconds of an iteration, and iterations that were not finite."""
    return {
        "s/iter": averaged([run["s/iter"] for run in runs], digits=2),
        "not finite": str(sum(run["not finite"] for run in runs)),
    }


def _titled(title: str, rows: Sequence[dict[str, str]]) -> str:
    return f"{title}\n\n{tabulate(rows, headers='keys', tablefmt='github', disable_numparse=True)}"


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE")
    parser.add_argument("--page", type=Path, metavar="FILE")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Print tables, or renew those of a page."""
    args = parse_args(argv)
    for path in args.files:
        print(f"{format_table(json.loads(path.read_text()))}\n")
    if args.page:
        renew(args.page)


if __name__ == "__main__":
    main()
