"""A study is a table, a sentence and a drawing; or a sentence on why there is none."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import matplotlib as mpl
import pyarrow as pa
from matplotlib.figure import Figure

from imbdet.drawing.style import STYLE, save, to_svg
from imbdet.figures.part_files import write_table
from imbdet.files import replacing

logger = logging.getLogger(__name__)


class NothingToShow(Exception):  # noqa: N818  (no error: an answer)
    """A study has no meaning here; the message says in one sentence why."""


class Study(ABC):
    """The numbers of a figure, with their table, sentence and drawing.

    Attributes:
        name: name of its files, without suffix.
        title: heading in a report.
        caption: how to read the figure, whatever the numbers are.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    caption: ClassVar[str]

    @abstractmethod
    def table(self) -> pa.Table:
        """The numbers, for a Parquet file."""

    @abstractmethod
    def sentence(self) -> str:
        """What the numbers say, in words."""

    @abstractmethod
    def draw(self) -> Figure:
        """The figure of the numbers, under :data:`STYLE`."""


def write_study(kind: type[Study], compute: Callable[[], Study], output: Path) -> str:
    """Write ``output/tables/NAME.parquet`` and ``output/figures/NAME`` as PNG, PDF and SVG.

    If there is nothing to show, the files of an earlier run are removed.

    Args:
        kind: class of the study.
        compute: function that returns the study, or raises :class:`NothingToShow`.
        output: folder to write to.

    Returns:
        The name of the study and its sentence.
    """
    table, figure = output / "tables" / f"{kind.name}.parquet", output / "figures" / kind.name
    try:
        study = compute()
    except NothingToShow as reason:
        for path in (table, *(figure.with_suffix(f".{end}") for end in ("png", "pdf", "svg"))):
            path.unlink(missing_ok=True)
        return f"{kind.name}: no figure, {reason}"
    write_table(study.table(), table)
    with mpl.rc_context(STYLE):
        drawn = study.draw()
    save(drawn, figure)
    with replacing(figure.with_suffix(".svg")) as draft:
        draft.write_bytes(to_svg(drawn, kind.title, kind.caption))
    return f"{kind.name}: {study.sentence()}"


def remove_report(output: Path) -> None:
    """Remove the page that ``imbdet report`` made of an earlier run: it has other numbers."""
    (output / "report.html").unlink(missing_ok=True)


def write_summary(sentences: Sequence[str], output: Path) -> None:
    """Log the sentences, and write them to ``output/summary.txt``."""
    logger.info("\n".join(sentences))
    with replacing(output / "summary.txt") as draft:
        draft.write_text("".join(f"{sentence}\n" for sentence in sentences))
