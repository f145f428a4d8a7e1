"""A figure is a table, a drawing and a sentence; or a sentence on why there is none."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from imbdet.analysis.columns import NothingToShow, Numbers
from imbdet.analysis.figures.style import STYLE, save
from imbdet.analysis.tables import write_table
from imbdet.files import replacing

logger = logging.getLogger(__name__)


def write_figure(
    name: str, compute: Callable[[], Numbers], draw: Callable[[Any], Figure], output: Path
) -> str:
    """Write ``output/tables/NAME.parquet`` and ``output/figures/NAME.png`` and ``.pdf``.

    Without anything to show, those of an earlier run are removed.

    Returns:
        The sentence, behind the name.
    """
    table, figure = output / "tables" / f"{name}.parquet", output / "figures" / name
    try:
        numbers = compute()
    except NothingToShow as reason:
        for path in (table, figure.with_suffix(".png"), figure.with_suffix(".pdf")):
            path.unlink(missing_ok=True)
        return f"{name}: no figure, {reason}"
    write_table(numbers.table(), table)
    with mpl.rc_context(STYLE):
        save(draw(numbers), figure)
    return f"{name}: {numbers.sentence()}"


def remove_report(output: Path) -> None:
    """Remove the page that ``imbdet report`` made of an earlier run: it has other numbers."""
    (output / "report.html").unlink(missing_ok=True)


def write_summary(sentences: Sequence[str], output: Path) -> None:
    """Tell the sentences, and write ``output/summary.txt``."""
    logger.info("\n".join(sentences))
    with replacing(output / "summary.txt") as draft:
        draft.write_text("".join(f"{sentence}\n" for sentence in sentences))
