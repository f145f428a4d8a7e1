"""The table of a training's classes, which shows their imbalance."""

from collections.abc import Sequence

from tabulate import tabulate

_HEAD, _TAIL = 10, 10  # rows that are shown of a longer table


def format_class_table(
    counts: Sequence[int], classes: Sequence[str], weights: Sequence[float]
) -> str:
    """A table with the number and share of boxes of each class, the most frequent class first.

    Args:
        counts: number of boxes, by class number.
        classes: names of the classes.
        weights: factors of the losses; they are shown unless all are 1.

    Returns:
        A table of at most 21 rows; of more classes, those in the middle share one row.
    """
    total = max(sum(counts), 1)
    rows = [
        (name, f"{count:,}", f"{count / total:.2%}", f"{weight:.3g}")
        for count, name, weight in sorted(
            zip(counts, classes, weights, strict=True), key=lambda row: -row[0]
        )
    ]
    middle = rows[_HEAD:-_TAIL]
    if len(middle) > 1:
        number = sum(sorted(counts, reverse=True)[_HEAD:-_TAIL])
        folded = f"... {len(middle)} classes ...", f"{number:,}", f"{number / total:.2%}", ""
        rows[_HEAD:-_TAIL] = [folded]
    columns = 4 if any(weight != 1 for weight in weights) else 3
    return tabulate(
        [row[:columns] for row in rows],
        headers=("class", "boxes", "share", "weight")[:columns],
        colalign=("left", "right", "right", "right")[:columns],
        disable_numparse=True,
    )
