"""Numbers of comparisons with known contents."""

import numpy as np

from imbdet.evaluation.lrp import OptimalLRP
from imbdet.evaluation.matching import NUM_AREAS, NUM_THRESHOLDS
from imbdet.figures.binned_scores import bin_scores
from imbdet.figures.class_ap import class_ap
from imbdet.figures.coco_table import ClassGroup, coco_table
from imbdet.figures.error_types import ERROR_TYPES, ErrorTypes
from imbdet.figures.lrp_table import LRPTable
from imbdet.figures.same_positives import SamePositives
from imbdet.figures.score_by_iou import EDGES as IOU_EDGES
from imbdet.figures.score_by_iou import ScoreByIoU
from imbdet.figures.score_by_rank import EDGES as RANK_EDGES
from imbdet.figures.score_by_rank import RANKINGS, ScoreByRank
from imbdet.figures.score_iou import EDGES, ScoreIoU
from imbdet.figures.training_curves import TrainingCurves
from imbdet.run_files.training_log import Curve
from tests.report.factories import CLASSES

RUNS = ("base", "<b>bold", "c/seed_1", "d/seed_1")
# The first class is rare, the others are frequent.
GROUPS = {"APr": ClassGroup("rare", [0], 5), "APf": ClassGroup("frequent", [1, 2], 900)}


def all_comparisons(num_runs):
    """The numbers of each figure of a comparison, by its name."""
    rng = np.random.default_rng(0)
    runs = RUNS[:num_runs]
    replicated = {run: _replicated(rng, gain) for gain, run in enumerate(runs)}
    return {
        "curves": _curves(rng, runs),
        "coco": coco_table(np.array([9] * (NUM_AREAS - 1) + [0]), replicated, GROUPS),
        "class_ap": class_ap(CLASSES, np.array([5, 1200, 7]), np.array([5, 900, 7]), replicated),
        "error_types": ErrorTypes(
            gains={
                run: dict(zip(ERROR_TYPES.values(), _gains(rng, run), strict=True)) for run in runs
            },
            ap50=dict.fromkeys(runs, 30.0),
        ),
        "lrp": LRPTable(CLASSES, {run: _lrp(rng) for run in runs}),
        "score_iou": ScoreIoU(
            counts={run: rng.poisson(0.5, [len(EDGES) - 1] * 2) for run in runs},
            correlations=dict.fromkeys(runs, (0.5, 0.7)),
        ),
        "score_by_rank": ScoreByRank(
            {
                sign: _binned(rng, runs, RANK_EDGES, rng.geometric(0.1, 200) - 1.0)
                for sign in RANKINGS
            }
        ),
        "score_by_iou": ScoreByIoU(_binned(rng, runs, IOU_EDGES, rng.random(50))),
        "same_positives": SamePositives(
            runs[0], ["atss", "paa"], {run: rng.random(2) for run in runs[1:]}
        ),
    }


def _replicated(rng, gain):
    """(1 + 20, 3, A, T) AP without large objects; the first class differs by chance alone."""
    ap = rng.normal(30, 0.4, (21, 3, NUM_AREAS, NUM_THRESHOLDS))
    ap[:, 1] += 20 * gain
    ap[:, 2] -= 5 * gain
    ap[:, :, 3] = np.nan
    return ap


def _curves(rng, runs):
    iterations = np.arange(19, 400, 20)
    losses = {run: Curve(iterations, rng.random(20)) for run in runs}
    losses[runs[1]].values[-1] = np.nan
    return TrainingCurves(
        {
            "total_loss": losses,
            "loss_cls": {runs[1]: losses[runs[1]]},
            "AP": {run: Curve(iterations[9::10], 100 * rng.random(2)) for run in runs},
        },
        silent=[],
    )


def _gains(rng, run):
    """Gains of a run; NaN for one without detections."""
    return rng.random(len(ERROR_TYPES)) if run != RUNS[1] else [np.nan] * len(ERROR_TYPES)


def _lrp(rng):
    """LRP of classes, of which one is best not detected."""
    found = [OptimalLRP(*(100 * rng.random(4)), threshold=rng.random()) for _ in CLASSES]
    found[1] = OptimalLRP(100.0, np.nan, np.nan, 100.0, np.nan)
    return found


def _binned(rng, runs, edges, values):
    return bin_scores(edges, {run: [(values, rng.random(len(values)))] for run in runs})
