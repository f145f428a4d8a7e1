"""The curves of a training."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from imbdet.drawing.run_styles import run_lines
from imbdet.report.drawings import Plot, add_names, grid, new_axes
from imbdet.report.elements import caption, note, section
from imbdet.report.result_files import CannotShow, reading
from imbdet.run_files.best_evaluation import is_loss
from imbdet.run_files.training_log import Curve, TrainingLog, read_training_log
from imbdet.wording import counted

# Title of a plot, of its y axis, and which scalars it shows.
_PLOTS: Sequence[tuple[str, str, Callable[[str], bool]]] = (
    ("Losses", "loss", lambda name: name.startswith(("total_loss", "loss")) or is_loss(name)),
    ("Average precision", "percent", lambda name: name.endswith(("/AP", "/AP50", "/AP75"))),
    ("IoU of the chosen samples", "mean IoU", lambda name: name.endswith("_chosen_iou")),
    ("Loss of the chosen samples", "mean loss", lambda name: name.endswith("_chosen_loss")),
    ("Learning rate", "learning rate", lambda name: name == "lr"),
    ("Time of an iteration", "seconds", lambda name: name in ("time", "data_time")),
)
_CAPTION = "Medians of 20 iterations as the training logged them, and the evaluations on the way."
# Curves with no more points mark each of them.
_MAX_MARKED = 20


def training_content(path: Path) -> list[Element]:
    """The curves of a ``metrics.json``.

    Raises:
        CannotShow: the file cannot be read, or has no curves.
    """
    log = read_log(path)
    plots = []
    for title, unit, is_shown in _PLOTS:
        if curves := {name: log.curves[name] for name in sorted(filter(is_shown, log.curves))}:
            plots.append(draw_scalars(title, unit, curves))
    if not plots:
        raise CannotShow(f"'{path.name}' has no curves.")
    content = [grid(plots)]
    if log.num_damaged:
        lines = counted(log.num_damaged, "damaged line")
        content.append(note(f"Left out of '{path.name}': {lines}."))
    return [section("Curves", caption(_CAPTION), *content)]


def read_log(path: Path) -> TrainingLog:
    """The scalars of a ``metrics.json``.

    Raises:
        CannotShow: the file cannot be read.
    """
    with reading(path):
        return read_training_log(path)


def draw_scalars(title: str, unit: str, curves: Mapping[str, Curve]) -> Plot:
    """Draw a line for each scalar, by name."""
    figure, axes = new_axes("iteration", unit)
    for name, line in run_lines(curves).items():
        curve = curves[name]
        marker = "o" if len(curve.values) <= _MAX_MARKED else None
        axes.plot(curve.iterations, curve.values, label=name, marker=marker, markersize=3, **line)
    axes.set_xlim(left=0)
    if len(curves) > 1:
        add_names(figure, axes)
    return Plot(title, figure)
