"""How unequal the classes of a data set are."""

from collections import Counter

from tabulate import tabulate

_HEAD, _TAIL = 10, 10  # rows that are shown of a longer table


def format_class_table(records: list[dict], classes: list[str]) -> str:
    """Number and share of the boxes of each class, the most frequent class first.

    Args:
        records: detectron2's dicts; crowds do not count.
        classes: names, by category id.

    Returns:
        A table of at most 21 rows; of more classes, those in the middle share one row.
    """
    counts = Counter(
        annotation["category_id"]
        for record in records
        for annotation in record["annotations"]
        if not annotation.get("iscrowd", 0)
    )
    rows = sorted(((name, counts[i]) for i, name in enumerate(classes)), key=lambda row: -row[1])
    middle = rows[_HEAD:-_TAIL]
    if len(middle) > 1:
        folded = (f"... {len(middle)} classes ...", sum(count for _, count in middle))
        rows[_HEAD:-_TAIL] = [folded]
    total = max(counts.total(), 1)
    return tabulate(
        [(name, f"{count:,}", f"{count / total:.2%}") for name, count in rows],
        headers=("class", "boxes", "share"),
        colalign=("left", "right", "right"),
        disable_numparse=True,
    )
