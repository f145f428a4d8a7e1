"""The classes that gain AP and those that lose it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from imbdet.drawing.run_styles import GROUP_WIDTH, add_legend, run_bars, spread
from imbdet.drawing.style import label_panel, new_figure, short
from imbdet.figures.coco_table import as_columns
from imbdet.figures.estimates import CONFIDENCE, Estimate, estimate
from imbdet.figures.study import Study
from imbdet.wording import counted

# If there are more classes, only those at both ends are drawn.
_MAX_CLASSES = 40


@dataclass(frozen=True)
class ClassAP(Study):
    """AP of the classes that have objects, in percent.

    Attributes:
        classes: names, those that gain most (on average over the runs) first.
        num_objects: number of objects of each class.
        values: AP of each class by run, the baseline first.
        differences: difference of each class to the baseline, by each other run.
    """

    name = "class_ap"
    title = "AP of each class"
    caption = (
        "The class that gains most comes first, numbers of objects in brackets. Lines are "
        "intervals of 95 %, for other images of this kind. A hollow mark is a difference that "
        "is undecided: its interval contains 0, or its objects are in too few images for one."
    )

    classes: Sequence[str]
    num_objects: Sequence[int]
    values: Mapping[str, Sequence[float]]
    differences: Mapping[str, Sequence[Estimate]]

    def table(self) -> pa.Table:
        """See :class:`Study`; a row for each run and class."""
        rows = []
        for run, values in self.values.items():
            differences = self.differences.get(run, [None] * len(values))
            for i, name in enumerate(self.classes):
                row = {"run": run, "class": name, "objects": self.num_objects[i], "AP": values[i]}
                rows.append({**row, **as_columns("difference", differences[i])})
        return pa.Table.from_pylist(rows)

    def sentence(self) -> str:
        """See :class:`Study`."""
        parts = []
        for run, differences in self.differences.items():
            verdicts = [difference.verdict for difference in differences]
            best, worst = (
                pick(range(len(verdicts)), key=lambda i: differences[i].value)
                for pick in (max, min)
            )
            parts.append(
                f"{run} is better in {verdicts.count('better')} of "
                f"{counted(len(verdicts), 'class', 'classes')}, worse in "
                f"{verdicts.count('worse')}, undecided in {verdicts.count('undecided')}; from "
                f"{differences[worst].value:+.1f} ({self.classes[worst]}) to "
                f"{differences[best].value:+.1f} ({self.classes[best]})"
            )
        return " ".join(f"{part}." for part in parts)

    def draw(self) -> Figure:
        """Horizontal bars, the class that gains most at the top, with intervals."""
        num_classes = len(self.classes)
        half = _MAX_CLASSES // 2
        shown = list(range(num_classes))
        if num_classes > _MAX_CLASSES:
            shown = [*shown[:half], *shown[-half:]]
        baseline, *others = run_bars(self.values).items()
        figure = new_figure(1.2 + len(shown) * (0.1 + 0.12 * len(others)))
        axes = figure.add_subplot()
        places = np.arange(len(shown))
        for i, (run, bar) in enumerate(others):
            differences = [self.differences[run][k] for k in shown]
            at = places + spread(i, len(others))
            height = GROUP_WIDTH / len(others)
            drawn = axes.barh(at, [d.value for d in differences], height, **bar)
            for rectangle, difference in zip(drawn, differences, strict=True):
                if difference.verdict == "undecided":
                    rectangle.set(
                        facecolor="white", edgecolor=bar["facecolor"], linewidth=1, hatch=""
                    )
            lows, highs = [d.low for d in differences], [d.high for d in differences]
            axes.hlines(at, lows, highs, color="black", linewidth=0.8)
        axes.axvline(0, color="black", linewidth=0.8)
        names = [f"{short(self.classes[k])} ({self.num_objects[k]:,})" for k in shown]
        axes.set_yticks(places, names)
        axes.set(ylim=(len(shown) - 0.4, -0.6))
        axes.set_xlabel(
            f"change of AP against {short(baseline[0])}\n"
            f"in percentage points, with {CONFIDENCE:.0%} intervals (hollow: undecided)"
        )
        axes.grid(axis="x")
        if len(shown) < num_classes:
            axes.axhline(half - 0.5, color="black", linestyle=":", linewidth=0.8)
        label_panel(axes, _title(len(shown), num_classes))
        add_legend(figure, {run: Patch(**bar) for run, bar in others})
        return figure


def class_ap(
    classes: Sequence[str],
    num_objects: np.ndarray,
    num_images: np.ndarray,
    replicated: Mapping[str, np.ndarray],
) -> ClassAP:
    """Compare the classes.

    Args:
        classes: K names.
        num_objects: (K,) int64 numbers of objects, not all 0.
        num_images: (K,) int64 numbers of images with objects of the class.
        replicated: by run, the baseline first, (1 + G, K, A, T) AP of :func:`replicated_ap`.
    """
    ap = {run: values[:, :, 0].mean(axis=-1) for run, values in replicated.items()}  # (1 + G, K)
    baseline, *others = ap
    changes = np.mean([ap[run][0] - ap[baseline][0] for run in others], axis=0)
    order = [int(k) for k in np.argsort(-changes, kind="stable") if num_objects[k]]
    return ClassAP(
        classes=[classes[k] for k in order],
        num_objects=[int(num_objects[k]) for k in order],
        values={run: ap[run][0, order].tolist() for run in ap},
        differences={
            run: [estimate((ap[run] - ap[baseline])[:, k], num_images[k]) for k in order]
            for run in others
        },
    )


def _title(num_shown: int, num_classes: int) -> str:
    if num_shown == num_classes:
        return "classes and their numbers of objects"
    return f"{num_shown} of {num_classes:,} classes, those that gain and lose most"
