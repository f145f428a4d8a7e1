"""COCO's metrics of all runs, with intervals and differences from the baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from tabulate import tabulate

from imbdet.drawing.run_styles import add_legend, run_points, spread
from imbdet.drawing.style import label_panel, new_figure, short
from imbdet.evaluation.matches import ClassMatches
from imbdet.figures.estimates import CONFIDENCE, Estimate, draw_estimates, estimate, nan_mean
from imbdet.figures.study import Study
from imbdet.formats.lvis_json import FREQUENCIES
from imbdet.wording import counted

# Index of the area of objects and of the IoU thresholds of each metric.
_METRICS = {
    "AP": (0, slice(None)),
    "AP50": (0, slice(0, 1)),
    "AP75": (0, slice(5, 6)),
    "APs": (1, slice(None)),
    "APm": (2, slice(None)),
    "APl": (3, slice(None)),
}
_SIZES = {"APs": "small", "APm": "medium", "APl": "large"}


@dataclass(frozen=True)
class ClassGroup:
    """Classes that have a metric of their own.

    Attributes:
        title: "rare", "common" or "frequent".
        places: indices of the classes, which have objects.
        num_images: number of images with objects of these classes.
    """

    title: str
    places: Sequence[int]
    num_images: int

    def __str__(self) -> str:
        return counted(len(self.places), f"{self.title} class", f"{self.title} classes")


@dataclass(frozen=True)
class CocoTable(Study):
    """COCO's metrics in percent.

    Attributes:
        values: values by run, the baseline first, and metric; a metric without objects in the
            test set is left out.
        differences: differences to the baseline by each other run and metric.
        groups: groups of classes by metric, such as "APr".
    """

    name = "coco"
    title = "COCO's metrics"
    caption = (
        "Lines are intervals of 95 %, for other images of this kind. A hollow mark is a "
        "difference that is undecided: its interval contains 0, or its objects are in too few "
        "images for one. APs, APm and APl are of small, medium and large objects, APr, APc and APf "
        "of classes that are rare, common and frequent in the training data."
    )

    values: Mapping[str, Mapping[str, Estimate]]
    differences: Mapping[str, Mapping[str, Estimate]]
    groups: Mapping[str, ClassGroup]

    def table(self) -> pa.Table:
        """See :class:`Study`; a row for each run and metric."""
        rows = []
        for run, metrics in self.values.items():
            for metric, value in metrics.items():
                difference = self.differences.get(run, {}).get(metric)
                row = {"run": run, "metric": metric, **as_columns("", value)}
                rows.append({**row, **as_columns("difference", difference)})
        return pa.Table.from_pylist(rows)

    def sentence(self) -> str:
        """See :class:`Study`."""
        baseline = next(iter(self.values))
        return (
            f"{self._compare('AP')}; in "
            f"brackets the difference and its {CONFIDENCE:.0%} interval, over the chance of the "
            "test images; another seed of a training may differ by more."
            + "".join(
                f" Over {group}, {self._compare(metric)}." for metric, group in self.groups.items()
            )
            + "".join(
                f" There are no {size} objects for {metric}."
                for metric, size in _SIZES.items()
                if metric not in self.values[baseline]
            )
        )

    def _compare(self, metric: str) -> str:
        """The values of a metric and its differences, in words."""
        baseline, *others = self.values
        parts = [
            f"{run} {self.values[run][metric].value:.1f} "
            f"({describe(self.differences[run][metric])})"
            for run in others
        ]
        return (
            f"{metric} of {baseline} {self.values[baseline][metric].value:.1f}, {', '.join(parts)}"
        )

    def text(self) -> str:
        """The table as text for a terminal."""
        rows = []
        for run, metrics in self.values.items():
            rows.append([run, *(format_estimate(value) for value in metrics.values())])
            if run in self.differences:
                differences = self.differences[run].values()
                rows.append(
                    ["  difference", *(format_estimate(value, "+") for value in differences)]
                )
                rows.append(["", *(value.verdict for value in differences)])
        metrics = next(iter(self.values.values()))
        return tabulate(rows, ["run", *metrics], tablefmt="simple", disable_numparse=True)

    def draw(self) -> Figure:
        """Values on the left, differences to the baseline on the right."""
        figure = new_figure(2.9)
        left, right = figure.subplots(1, 2)
        points = run_points(self.values)
        baseline, *others = points
        metrics = list(self.values[baseline])
        places, handles = np.arange(len(metrics)), {}
        for i, (run, point) in enumerate(points.items()):
            estimates = list(self.values[run].values())
            at = places + spread(i, len(points))
            handles[run] = draw_estimates(left, at, estimates, point)
        for i, run in enumerate(others):
            estimates = list(self.differences[run].values())
            at = places + spread(i, len(others))
            draw_estimates(right, at, estimates, points[run], is_difference=True)
        right.axhline(0, color="black", linewidth=0.8)
        left.set(ylabel="percent", ylim=(0, None))
        right.set(ylabel="percentage points\n(hollow: undecided)")
        for axes in (left, right):
            axes.set_xticks(places, metrics, rotation=45 if self.groups else 0)  # more than fit
            axes.set_xlim(-0.6, len(metrics) - 0.4)
            axes.grid(axis="y")
        label_panel(left, f"(a) values with {CONFIDENCE:.0%} intervals")
        label_panel(right, f"(b) minus {short(baseline)}")
        add_legend(figure, handles)
        return figure


def group_classes(
    by_class: Mapping[str, ClassMatches], frequencies: Mapping[str, str]
) -> dict[str, ClassGroup]:
    """The rare, common and frequent classes that have objects, by metric.

    Args:
        by_class: matches of the K classes.
        frequencies: "r", "c" or "f" of each class, where it is known.
    """
    groups = {}
    for letter, title in FREQUENCIES.items():
        members = {
            k: found.num_objects[0]
            for k, (name, found) in enumerate(by_class.items())
            if frequencies.get(name) == letter and found.num_objects[0].any()
        }
        if members:
            num_images = np.count_nonzero(sum(members.values()))
            groups[f"AP{letter}"] = ClassGroup(title, list(members), int(num_images))
    return groups


def coco_table(
    num_images: np.ndarray,
    replicated: Mapping[str, np.ndarray],
    groups: Mapping[str, ClassGroup] = MappingProxyType({}),
) -> CocoTable:
    """Summarise the classes as COCO does, and as LVIS does.

    Args:
        num_images: (A,) int64 numbers of images with objects of each area; the first is above 0.
        replicated: by run, the baseline first, (1 + G, K, A, T) AP of :func:`replicated_ap`.
        groups: see :func:`group_classes`.
    """
    metrics = {
        run: {
            metric: nan_mean(values[:, :, area, thresholds], axis=(1, 2))
            for metric, (area, thresholds) in _METRICS.items()
            if num_images[area]
        }
        | {
            metric: nan_mean(values[:, :, 0][:, group.places], axis=(1, 2))
            for metric, group in groups.items()
        }
        for run, values in replicated.items()
    }
    counts = {metric: num_images[area] for metric, (area, _) in _METRICS.items()}
    counts |= {metric: group.num_images for metric, group in groups.items()}
    baseline, *others = metrics
    return CocoTable(
        values={
            run: {m: estimate(values, counts[m]) for m, values in of_run.items()}
            for run, of_run in metrics.items()
        },
        differences={
            run: {
                m: estimate(values - metrics[baseline][m], counts[m])
                for m, values in metrics[run].items()
            }
            for run in others
        },
        groups=groups,
    )


def as_columns(name: str, value: Estimate | None) -> dict[str, object]:
    """An estimate as columns of a row; those of a difference have a name and a verdict."""
    if not name:
        return {"value": value.value, "low": value.low, "high": value.high}
    values = (value.value, value.low, value.high, value.verdict) if value else (None,) * 4
    return dict(
        zip([name, *(f"{name}_{end}" for end in ("low", "high", "verdict"))], values, strict=True)
    )


def describe(difference: Estimate) -> str:
    """A difference in words."""
    if np.isnan(difference.value):
        return "difference not defined"
    if np.isnan(difference.low):
        return f"{difference.value:+.1f}, no interval"
    return f"{format_estimate(difference, '+')}, {difference.verdict}"


def format_estimate(value: Estimate, sign: str = "") -> str:
    """A value with its interval, as far as both exist; ``sign`` is "+" for a difference."""
    if np.isnan(value.value):
        return "-"
    if np.isnan(value.low):
        return f"{value.value:{sign}.1f}"
    return f"{value.value:{sign}.1f} [{value.low:{sign}.1f}, {value.high:{sign}.1f}]"
