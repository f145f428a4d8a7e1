"""Runs a detector over a data set, and writes tables of all its candidates."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch
from detectron2.config import CfgNode

from imbdet.analysis.analysed_images import build_loader
from imbdet.analysis.assignments import Assignments, build_assignments
from imbdet.analysis.boosted_detections import boost_variants, boosted, detect
from imbdet.analysis.candidate_rows import (
    assigned_rows,
    candidate_rows,
    image_row,
    object_rows,
    region_rows,
)
from imbdet.analysis.frozen_detector import FrozenDetector, ImageCandidates
from imbdet.analysis.selections import build_selections
from imbdet.config_files.keys import get_key
from imbdet.engine.progress import with_progress
from imbdet.figures.calibration import EntryScores
from imbdet.figures.candidate_columns import (
    ASSIGNED,
    DETECTIONS,
    IMAGES,
    OBJECTS,
    REGIONS,
    candidate_schema,
)
from imbdet.figures.columns import sampler_of
from imbdet.figures.gradient_ratio import ChosenEntries
from imbdet.figures.gradient_shares import EntryGradients
from imbdet.figures.part_files import PartWriter
from imbdet.figures.score_distributions import ScoreWeights
from imbdet.figures.score_shift import ImageScores

logger = logging.getLogger(__name__)

BOOSTS = pa.schema(
    [
        ("image_id", pa.string()),
        ("top", pa.int32()),
        ("num_boosted", pa.int32()),
        ("decrease", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Counts:
    """Counts of the entries, which are too many for rows of the tables.

    Attributes:
        gradients: gradients of the classification entries.
        chosen_entries: gradients by class of the samples that the detector's own sampler chose.
        scores: scores of the entries, without the appended ground truth.
        score_weights: scores of the same entries, and their weights in DR loss.
        image_scores: scores of the same entries in each image.
        num_not_finite: number of candidates whose predictions are not finite.
    """

    gradients: EntryGradients
    chosen_entries: ChosenEntries
    scores: EntryScores
    score_weights: ScoreWeights
    image_scores: ImageScores
    num_not_finite: int


class Collector:
    """Writes the tables of a detector, image by image."""

    def __init__(self, cfg: CfgNode, detector: FrozenDetector):
        """Build the samplers and the assigners.

        Args:
            cfg: the config.
            detector: the detector whose candidates are collected.
        """
        self.cfg = cfg
        self.detector = detector
        self.selections = build_selections(cfg, detector.site)
        for name, reason in self.selections.refused.items():
            if name == sampler_of("prime", "negatives"):
                logger.info(
                    f"RetinaNet has no prime negatives: {name} compares all pairs of negatives, "
                    "and the anchors are too many."
                )
            else:
                logger.warning(f"The sampler {name} is left out: {reason}")
        # Assigners of proposals differ by a threshold alone.
        self.assignments = Assignments({}, {})
        if not detector.is_two_stage:
            self.assignments = build_assignments(detector.cfg, detector.site)
        for name, reason in self.assignments.refused.items():
            logger.info(f"The assigner {name} is left out: {reason}")
        self.generator = torch.Generator(detector.model.device).manual_seed(max(cfg.SEED, 0))

    def collect(self, dataset_dicts: Sequence[dict], folder: Path) -> Counts:
        """Forward the images and write the tables into subfolders of ``folder``."""
        site = self.detector.site
        gradients = EntryGradients(
            num_bins=get_key(self.cfg, f"{site.cls_loss}.GHM_C").BINS,
            alpha=get_key(self.cfg, site.option_key(site.cls_loss, "focal", "alpha")),
            gamma=get_key(self.cfg, site.option_key(site.cls_loss, "focal", "gamma")),
        )
        chosen_entries = ChosenEntries(self.detector.learner.num_classes)
        scores = EntryScores(self._score_thresh)
        dr = get_key(self.cfg, f"{site.cls_loss}.DR")
        score_weights = ScoreWeights(dr.LAMBDA_POS, dr.LAMBDA_NEG, dr.MARGIN)
        image_scores = ImageScores()
        num_not_finite = 0
        with ExitStack() as stack:
            writers = {
                name: stack.enter_context(PartWriter(folder / name, schema))
                for name, schema in self._schemas().items()
            }
            for (image,) in with_progress(
                build_loader(self.cfg, dataset_dicts), "looking at candidates"
            ):
                found = self.detector.collect(image)
                self._write(writers, image, found)
                candidates = found.candidates
                own = slice(0, len(candidates) - found.num_appended)
                all_scores = candidates.require_outputs().scores
                gradients.add(all_scores, candidates.gt_labels, self.detector.classifier)
                chosen = self.detector.learner.sampler(candidates, self.generator).idxs
                chosen_entries.add(all_scores[chosen], candidates.gt_labels[chosen])
                for gathered in (scores, score_weights, image_scores):
                    gathered.add(all_scores[own], candidates.gt_labels[own])
                num_not_finite += found.num_not_finite
        return Counts(
            gradients, chosen_entries, scores, score_weights, image_scores, num_not_finite
        )

    @property
    def _score_thresh(self) -> float | None:
        """The test's threshold of class scores; None if it is for their product with a quality."""
        if self.detector.is_two_stage:
            return float(self.cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST)
        has_quality = bool(get_key(self.cfg, "MODEL.DENSE.QUALITY"))
        return None if has_quality else float(self.cfg.MODEL.RETINANET.SCORE_THRESH_TEST)

    def _schemas(self) -> dict[str, pa.Schema]:
        names = self.selections.positive, self.selections.negative, self.assignments.assigners
        schemas = {
            "images": IMAGES,
            "objects": OBJECTS,
            "regions": REGIONS,
            "candidates": candidate_schema(*map(list, names)),
        }
        if self.assignments.assigners:
            schemas["assigned"] = ASSIGNED
        if self.detector.is_two_stage and not self.detector.has_stages:
            schemas |= {"detections": DETECTIONS, "boosts": BOOSTS}
        return schemas

    def _write(self, writers: dict[str, PartWriter], image: dict, found: ImageCandidates) -> None:
        chosen = self.selections.apply(found.candidates, self.generator)
        ranked = self.selections.ranked_negatives(found.candidates)
        writers["images"].add(image_row(image, found))
        writers["objects"].add(object_rows(image, found))
        writers["regions"].add(region_rows(image, found))
        objects = self.assignments.apply(found.candidates)
        writers["candidates"].add(candidate_rows(image, found, chosen, ranked, objects))
        if objects:
            writers["assigned"].add(assigned_rows(image, found, objects))
        if self.detector.is_two_stage and not self.detector.has_stages:
            boosts = boosted(found, self.detector.classifier)
            predictor = self.detector.model.roi_heads.box_predictor
            variants = boost_variants(found, boosts)
            writers["detections"].add(detect(image, found, variants, predictor))
            writers["boosts"].add(
                {
                    "image_id": [str(image["image_id"])] * len(boosts),
                    "top": list(boosts),
                    "num_boosted": [boost.num_boosted for boost in boosts.values()],
                    "decrease": [boost.decrease for boost in boosts.values()],
                }
            )
