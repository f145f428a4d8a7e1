"""The AP that each type of error costs, by tidecv.

Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020,
https://arxiv.org/abs/2008.08115.
"""

import importlib.util
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from imbdet.drawing.run_styles import GROUP_WIDTH, add_legend, run_bars, spread
from imbdet.drawing.style import label_panel, new_figure
from imbdet.evaluation.matches import Matches
from imbdet.figures.study import NothingToShow, Study
from imbdet.programs.startup import without_collections

if TYPE_CHECKING:
    from tidecv import Data

logger = logging.getLogger(__name__)

# Names of the types by those of tidecv.
ERROR_TYPES = {
    "Cls": "class",
    "Loc": "localisation",
    "Both": "both",
    "Dupe": "duplicate",
    "Bkg": "background",
    "Miss": "missed",
    "FalsePos": "false positives",
    "FalseNeg": "false negatives",
}


@dataclass(frozen=True)
class ErrorTypes(Study):
    """The rise of AP50 if a type of error were corrected.

    Attributes:
        gains: gains in percent by run, the baseline first, and error type; NaN for a run without
            detections. The last two types overlap with the first six.
        ap50: by run, AP at IoU 0.5 in percent as tidecv computes it.
    """

    name = "error_types"
    title = "Types of errors"
    caption = "How much AP50 would rise if one kind of error were mended."

    gains: Mapping[str, Mapping[str, float]]
    ap50: Mapping[str, float]

    def table(self) -> pa.Table:
        """See :class:`Study`; a row for each run and error type."""
        rows = [
            {"run": run, "error": error, "gain": gain, "AP50": self.ap50[run]}
            for run, of_run in self.gains.items()
            for error, gain in of_run.items()
        ]
        return pa.Table.from_pylist(rows)

    def sentence(self) -> str:
        """See :class:`Study`."""
        parts = []
        for run, of_run in self.gains.items():
            main = dict(list(of_run.items())[:-2])
            if np.isnan(list(main.values())).any():
                parts.append(f"{run} has no detections of classes with objects")
                continue
            worst = sorted(main, key=main.__getitem__, reverse=True)[:2]
            costs = " and ".join(f"{error} {main[error]:.1f}" for error in worst)
            parts.append(f"{run} {costs}")
        return f"What costs most AP50: {'; '.join(parts)}."

    def draw(self) -> Figure:
        """The six types on the left, all false positives and negatives on the right."""
        figure = new_figure(3.0)
        left, right = figure.subplots(1, 2, width_ratios=[3, 1])
        bars, handles = run_bars(self.gains), {}
        for axes, part in ((left, slice(None, -2)), (right, slice(-2, None))):
            errors = list(next(iter(self.gains.values())))[part]
            places = np.arange(len(errors))
            for i, (run, bar) in enumerate(bars.items()):
                gains = [self.gains[run][error] for error in errors]
                at = places + spread(i, len(bars))
                handles[run] = axes.bar(at, gains, GROUP_WIDTH / len(bars), **bar)
            axes.set_xticks(places, [error.replace(" ", "\n") for error in errors])
            axes.set_xlim(-0.6, len(errors) - 0.4)
            axes.grid(axis="y")
        left.set_ylabel("percentage points of AP50\ngained if mended")
        label_panel(left, "(a) types of errors")
        label_panel(right, "(b) all of them")
        add_legend(figure, handles)
        return figure


def error_types(runs: Mapping[str, Matches]) -> ErrorTypes:
    """Let tidecv sort the errors.

    Detections of classes without objects are left out: COCO's AP does not count them, while tidecv
    would average such a class in as 0. As in COCO, detections on crowds are not errors; as in LVIS,
    neither are those without an object where not all objects of their class are annotated.

    Args:
        runs: matches by run, the baseline first; they have objects.

    Raises:
        NothingToShow: tidecv is not installed.
    """
    if importlib.util.find_spec("tidecv") is None:
        raise NothingToShow(
            "it needs tidecv, an optional package: install it, as `make setup` does."
        )
    gains, ap50 = {}, {}
    with mpl.rc_context():  # tidecv changes how all figures look
        ground_truth = _ground_truth(next(iter(runs.values())))
        for run, matches in runs.items():
            logger.info(f"Sorting the errors of {run}.")
            with without_collections():
                gains[run], ap50[run] = _sort_errors(ground_truth, _detections(matches))
    return ErrorTypes(gains, ap50)


def _ground_truth(matches: Matches) -> "Data":
    from tidecv import Data

    data = Data("ground truth", max_dets=matches.max_detections)
    for i, name in enumerate(matches.by_class, 1):
        data.add_class(i, name)
    for i in range(1, len(matches.images) + 1):  # those without objects, too
        data.add_image(i, str(i))
    for note in matches.objects:
        add = data.add_ignore_region if note["iscrowd"] else data.add_ground_truth
        add(note["image_id"], note["category_id"], box=note["bbox"])
    return data


def _detections(matches: Matches) -> "Data":
    from tidecv import Data

    data = Data("detections", max_dets=matches.max_detections)
    has_objects = matches.num_objects > 0
    uncounted = _find_uncounted(matches)
    for i, record in enumerate(matches.detections):
        if has_objects[record["category_id"] - 1] and i not in uncounted:
            place = record["image_id"], record["category_id"]
            data.add_detection(*place, record["score"], box=record["bbox"])
    return data


def _find_uncounted(matches: Matches) -> set[int]:
    """Indices of detections that match no object, but are not wrong."""
    return {
        int(place)
        for found in matches.by_class.values()
        for place in found.detection_idxs[~found.is_counted[0, 0] & (found.object_idxs < 0)]
    }


def _sort_errors(ground_truth: "Data", detections: "Data") -> tuple[dict[str, float], float]:
    """Gains by error type, and AP50, both in percent."""
    if not detections.annotations:
        # Without detections, tidecv fails to take a mean.
        return dict.fromkeys(ERROR_TYPES.values(), float("nan")), 0.0
    from tidecv import TIDE

    tide = TIDE(pos_threshold=0.5, background_threshold=0.1, mode=TIDE.BOX)
    run = tide.evaluate(ground_truth, detections)
    logger.info("Mending one type of error after the other.")
    errors = tide.get_all_errors()
    gains = errors["main"][detections.name] | errors["special"][detections.name]
    return {title: float(gains[name]) for name, title in ERROR_TYPES.items()}, float(run.ap)
