"""COCO's metrics as tables for the log."""

import itertools
import math
from collections.abc import Iterable

from tabulate import tabulate

from imbdet.evaluation.metrics import CocoMetrics

# With more classes than this, their table gets a second and a third block of columns.
_ROWS_PER_BLOCK = 20
_MAX_BLOCKS = 3
_CLASS_HEADERS = ("class", "objects", "AP", "AP50")


def format_overall(metrics: CocoMetrics) -> str:
    """A table of one row with a column for each metric."""
    return _format(metrics.overall, [map(_format_percent, metrics.overall.values())])


def format_per_class(metrics: CocoMetrics) -> str:
    """A table of one row for each class; more than 20 classes stand in blocks side by side."""
    classes = [
        (
            name,
            str(values["objects"]),
            _format_percent(values["AP"]),
            _format_percent(values["AP50"]),
        )
        for name, values in metrics.per_class.items()
    ]
    num_blocks = min(_MAX_BLOCKS, math.ceil(len(classes) / _ROWS_PER_BLOCK))
    height = math.ceil(len(classes) / num_blocks)
    blocks = [classes[start : start + height] for start in range(0, len(classes), height)]
    rows = itertools.zip_longest(*blocks, fillvalue=("",) * len(_CLASS_HEADERS))
    return _format(_CLASS_HEADERS * len(blocks), map(itertools.chain.from_iterable, rows))


def _format_percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _format(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    headers = list(headers)
    align = ["left" if header == "class" else "right" for header in headers]
    # Without `disable_numparse` a class named "1e5" would be shown as 100000.
    return tabulate(rows, headers, tablefmt="pipe", colalign=align, disable_numparse=True)
