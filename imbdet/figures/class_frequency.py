"""What classes have to do with how many objects they have: in words, and as points."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection

from imbdet.drawing.style import short

# Names of more classes would lie on each other.
_MAX_NAMES = 12


def describe_by_frequency(objects: np.ndarray, values: np.ndarray) -> str:
    """The median of the rarest third of the classes and of the most frequent one, in words.

    Where these have equally many objects, the median of all classes.

    Args:
        objects: (K,) int64 objects of each class.
        values: (K,) of each class; a NaN is left out, and there is another value.
    """
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(objects[known], kind="stable")]
    size = max(len(order) // 3, 1)
    rare, frequent = order[:size], order[-size:]
    if objects[rare[-1]] == objects[frequent[0]]:
        where = "the only class" if len(order) == 1 else f"the {len(order):,} classes"
        return f"{np.median(values[order]):.3g} in {where} with positives"
    parts = [
        f"{np.median(values[third]):.3g} in {_name(size, name)} ({_range(objects[third])})"
        for third, name in ((rare, "rarest"), (frequent, "most frequent"))
    ]
    return " and ".join(parts)


def draw_by_objects(
    axes: Axes,
    classes: Sequence[str] | None,
    objects: np.ndarray,
    values: np.ndarray,
    **style: Any,
) -> PathCollection:
    """A point for each class whose value is no NaN, over its number of objects; few have names.

    Args:
        axes: to draw in, with a logarithmic x axis from now on.
        classes: (K,) names; None is without.
        objects: (K,) int64.
        values: (K,).
        style: of matplotlib's ``scatter``.
    """
    known = np.flatnonzero(~np.isnan(values) & (objects > 0))
    is_small = len(known) > 100
    points = axes.scatter(objects[known], values[known], s=8 if is_small else 24, **style)
    axes.set(xscale="log", xlabel="objects of the class")
    axes.grid()
    if classes is not None and len(known) <= _MAX_NAMES:
        ordered = known[np.argsort(objects[known], kind="stable")]
        for i, k in enumerate(ordered):
            axes.annotate(
                short(classes[k]),
                (objects[k], values[k]),
                xytext=(0, 5 if i % 2 else -12),  # neighbours are on different sides
                textcoords="offset points",
                ha="center",
                fontsize=7,
            )
    return points


def _name(number: int, name: str) -> str:
    return f"the {name} class" if number == 1 else f"the {number:,} {name} classes"


def _range(objects: np.ndarray) -> str:
    low, high = int(objects.min()), int(objects.max())
    numbers = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{numbers} {'object' if high == 1 else 'objects'}"
