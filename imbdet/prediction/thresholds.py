"""The scores from which on detections are shown."""

import logging
from pathlib import Path

from detectron2.config import CfgNode

from imbdet.engine.weight_average import NAME, SUFFIX
from imbdet.evaluation.thresholds import FALLBACK, ScoreThresholds, read_thresholds

logger = logging.getLogger(__name__)


def choose_thresholds(cfg: CfgNode) -> tuple[ScoreThresholds, str]:
    """The thresholds of the detections that are shown, and their origin in words.

    They are ``TEST.PICTURE_SCORE_THRESH`` if it is not below 0, or else those of the evaluation
    beside the weights, on the first of ``DATASETS.TEST`` that has one. A folder has evaluations of
    the last weights and of their averages; other weights, such as the best ones, have thresholds of
    the last ones.
    """
    key = "TEST.PICTURE_SCORE_THRESH"
    if cfg.TEST.PICTURE_SCORE_THRESH >= 0:
        return ScoreThresholds.fixed(cfg.TEST.PICTURE_SCORE_THRESH), f"as {key} says"
    weights = Path(cfg.MODEL.WEIGHTS)
    inference = weights.parent / f"inference{SUFFIX if weights.stem == NAME else ''}"
    paths = [inference / dataset / "metrics.json" for dataset in cfg.DATASETS.TEST]
    for path in filter(Path.exists, (*paths, *sorted(inference.glob("*/metrics.json")))):
        try:
            thresholds = read_thresholds(path)
            origin = f"the best ones, by optimal LRP, of '{path}'"
            if weights.stem not in ("model_final", NAME):
                origin += ", where the last weights of that training were evaluated"
            if thresholds.shows_nothing:
                origin += (
                    f", which found no detection worth showing; {key} shows those above a score"
                )
            return thresholds, origin
        except (OSError, ValueError) as error:
            logger.warning(f"'{path}' cannot tell from which score on to show detections: {error}.")
    origin = f"no evaluation beside the weights tells a better one; {key} sets another"
    return ScoreThresholds.fixed(FALLBACK), origin
