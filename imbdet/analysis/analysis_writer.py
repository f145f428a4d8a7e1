"""Writes the figures and pictures of the collected candidates."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from imbdet.analysis.boosted_detections import evaluate_boosts
from imbdet.analysis.collector import Counts
from imbdet.analysis.frozen_detector import FrozenDetector
from imbdet.analysis.selection_pictures import choose_images, draw_pictures
from imbdet.config_files.keys import get_key
from imbdet.data.coco import evaluator_type_of
from imbdet.figures.assigners import Assigners, assigners
from imbdet.figures.boosting import Boosting
from imbdet.figures.calibration import Calibration
from imbdet.figures.candidate_columns import ASSIGNED
from imbdet.figures.class_frequency import Frequencies
from imbdet.figures.class_scores import ClassScores, class_scores
from imbdet.figures.columns import (
    BOX,
    NEGATIVE,
    POSITIVE,
    SIGNS,
    Chunks,
    Columns,
    chosen_by,
    object_by,
)
from imbdet.figures.gradient_ratio import GradientRatios
from imbdet.figures.gradient_shares import BoxGradients, ClassificationGradients, box_gradients
from imbdet.figures.hardness import Hardness, hardness
from imbdet.figures.imbalance import Imbalance, imbalance
from imbdet.figures.overlap import Overlaps, overlaps
from imbdet.figures.part_files import PartReader
from imbdet.figures.rank_histogram import RankHistogram, rank_histogram
from imbdet.figures.sampling_distribution import SamplingDistribution, sampling_distribution
from imbdet.figures.score_distributions import ScoreDistributions
from imbdet.figures.score_shift import ScoreShift
from imbdet.figures.study import NothingToShow, Study, write_study, write_summary
from imbdet.wording import counted

NUM_PICTURES = 4


class ResultWriter:
    """Computes each figure's numbers from the tables, and draws them."""

    def __init__(
        self,
        cfg: CfgNode,
        detector: FrozenDetector,
        dataset_dicts: Sequence[dict],
        counts: Counts,
        output: Path,
    ):
        """Open the tables.

        Args:
            cfg: the config.
            detector: the detector whose candidates were collected.
            dataset_dicts: detectron2's dicts of the images.
            counts: counts of the collected candidates.
            output: folder with the subfolder "tables".
        """
        self.cfg = cfg
        self.detector = detector
        self.dataset_dicts = dataset_dicts
        self.counts = counts
        self.output = output
        self.classes = MetadataCatalog.get(cfg.DATASETS.TEST[0]).thing_classes
        self.candidates = self._reader("candidates")

    def write_figures(self) -> None:
        """Write the numbers and the drawing of each figure, or say why there is none."""
        sentences = []
        if self.counts.num_not_finite:
            sentences.append(
                f"{counted(self.counts.num_not_finite, 'candidate')} had predictions that are not "
                "finite, and no place in the figures."
            )
        sentences += [
            write_study(study, compute, self.output) for study, compute in self._studies().items()
        ]
        write_summary(sentences, self.output)

    def write_pictures(self, names: Sequence[str]) -> None:
        """Draw the chosen boxes on images; see :func:`choose_images`."""
        images = self._whole("images", ["image_id", "file_name"])
        objects = self._whole("objects", ["image_id", *BOX])
        regions = self._whole("regions", ["image_id", *BOX])
        rows = choose_images(images, objects, names, NUM_PICTURES)
        draw_pictures(self.candidates, images, objects, regions, rows, self.output / "pictures")

    def _studies(self) -> Mapping[type[Study], Callable[[], Study]]:
        """The functions that compute the numbers of the studies."""
        return {
            SamplingDistribution: self._sampling_distribution,
            Hardness: self._hardness,
            ClassificationGradients: self.counts.gradients.result,
            BoxGradients: self._box_gradients,
            RankHistogram: self._ranks,
            Assigners: self._assigners,
            Overlaps: self._overlaps,
            Calibration: self.counts.scores.result,
            ScoreDistributions: self.counts.score_weights.result,
            ScoreShift: self.counts.image_scores.result,
            Imbalance: self._imbalance,
            GradientRatios: self._gradient_ratios,
            ClassScores: self._class_scores,
            Boosting: self._boosting,
        }

    def _sampling_distribution(self) -> SamplingDistribution:
        return sampling_distribution(self._chosen("iou", "cls_loss"))

    def _hardness(self) -> Hardness:
        return hardness(self._chosen("iou"))

    def _box_gradients(self) -> BoxGradients:
        ghm = get_key(self.cfg, f"{self.detector.site.box_loss}.GHM_R")
        site = self.detector.site
        beta = get_key(self.cfg, site.option_key(site.box_loss, "smooth_l1", "beta"))
        errors = self._positives(*(f"error_d{name}" for name in "xywh"))
        return box_gradients(errors, mu=ghm.MU, num_bins=ghm.BINS, beta=beta)

    def _ranks(self) -> RankHistogram:
        return rank_histogram(self._positives("negatives_above", "local_rank", "is_gt"))

    def _overlaps(self) -> Overlaps:
        names = self.candidates.assigners
        samplers = {sign: self.candidates.samplers(sign) for sign in SIGNS}
        return overlaps(self._chosen(*map(object_by, names)), samplers, names)

    def _assigners(self) -> Assigners:
        if not self.candidates.assigners:
            raise NothingToShow("assigners of proposals differ by their thresholds alone.")
        return assigners(self._reader("assigned").chunks(ASSIGNED.names))

    def _imbalance(self) -> Imbalance:
        objects = self._reader("objects").chunks(["class", "area", "num_positives"])
        negatives = self.candidates.chunks(["label"], ("label", NEGATIVE))
        num_negatives = sum(len(chunk["label"]) for chunk in negatives)
        chosen = self.counts.chosen_entries.counts
        chosen = np.append(chosen[: len(self.classes)], chosen[-1])  # the data may lack the last
        return imbalance(objects, num_negatives, chosen, self.classes)

    def _gradient_ratios(self) -> GradientRatios:
        return self.counts.chosen_entries.result(self._frequencies(), self.classes)

    def _class_scores(self) -> ClassScores:
        positives = self._positives("class", "score", "is_gt")
        return class_scores(positives, self._frequencies(), self.classes)

    def _frequencies(self) -> Frequencies:
        """Frequencies in training, if the weights have them; otherwise in the analysed images."""
        of_training = self.detector.training_images
        if of_training:
            counts = np.array([of_training.get(name, 0) for name in self.classes])
            return Frequencies(counts, "training image")
        numbers = self._whole("objects", ["class"])["class"]
        return Frequencies(np.bincount(numbers, minlength=len(self.classes)), "object")

    def _boosting(self) -> Boosting:
        if not self.detector.is_two_stage:
            raise NothingToShow("boosting needs a two-stage detector.")
        if self.detector.has_stages:
            raise NothingToShow("the scores of a cascade are means over its stages.")
        if evaluator_type_of(self.cfg.DATASETS.TEST[0]) == "lvis":
            raise NothingToShow("it has COCO's AP, and these data are evaluated by LVIS's.")
        detections, boosts = self._reader("detections"), self._reader("boosts")
        return evaluate_boosts(
            detections.chunks(detections.schema.names),
            boosts.chunks(boosts.schema.names),
            self.dataset_dicts,
            self.classes,
            library=self.cfg.TEST.COCO_LIBRARY,
            max_detections=self.cfg.TEST.MAX_DETECTIONS,
        )

    def _chosen(self, *columns: str) -> Chunks:
        names = [chosen_by(name) for sign in SIGNS for name in self.candidates.samplers(sign)]
        return self.candidates.chunks(list(dict.fromkeys(["label", *columns, *names])))

    def _positives(self, *columns: str) -> Chunks:
        return self.candidates.chunks(columns, ("label", POSITIVE))

    def _reader(self, name: str) -> PartReader:
        return PartReader(self.output / "tables" / name)

    def _whole(self, name: str, columns: list[str]) -> Columns:
        """A table that is small enough to be in memory as a whole."""
        chunks = list(self._reader(name).chunks(columns))
        return {column: np.concatenate([chunk[column] for chunk in chunks]) for column in columns}
