"""What a page makes of a table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imbdet.report.plots import Plot
from imbdet.report.sources import Columns


@dataclass(frozen=True)
class Study:
    """How a table becomes drawings.

    Attributes:
        title: heading.
        caption: how to read the drawings.
        draw: turns the table's columns into plots.
        has_scale: whether the colours are those of a scale.
    """

    title: str
    caption: str
    draw: Callable[[Columns], Sequence[Plot]]
    has_scale: bool = False
