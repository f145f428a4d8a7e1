"""Writes the table, figure and sentence of each comparison."""

import logging
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from imbdet.compare.analysed_candidates import advise_analyses, open_candidates
from imbdet.compare.compared_data import (
    check_test_set,
    compare_training_data,
    find_frequencies,
    find_protocol,
)
from imbdet.compare.comparison_pictures import remove_pictures, write_pictures
from imbdet.compare.differing_keys import write_differing_keys
from imbdet.compare.ground_truth import GroundTruth
from imbdet.compare.jackknife import draw_groups, replicated_ap
from imbdet.compare.run_folders import RunFolder, read_results
from imbdet.evaluation.matches import ClassMatches, Matches
from imbdet.figures.class_ap import ClassAP, class_ap
from imbdet.figures.coco_table import CocoTable, coco_table, group_classes
from imbdet.figures.error_types import ErrorTypes, error_types
from imbdet.figures.lrp_table import LRPTable, lrp_table
from imbdet.figures.part_files import PartReader
from imbdet.figures.same_positives import SamePositives, same_positives
from imbdet.figures.score_by_iou import ScoreByIoU, score_by_iou
from imbdet.figures.score_by_rank import ScoreByRank, score_by_rank
from imbdet.figures.score_iou import ScoreIoU, score_iou
from imbdet.figures.study import NothingToShow, Study, remove_report, write_study, write_summary
from imbdet.figures.training_curves import TrainingCurves, training_curves
from imbdet.programs.processes import path_of
from imbdet.programs.startup import without_collections

logger = logging.getLogger(__name__)


class ResultWriter:
    """Computes each figure's numbers from the runs, and draws them."""

    def __init__(
        self,
        runs: Sequence[RunFolder],
        ground_truth: GroundTruth,
        output: Path,
    ):
        """Find the runs that were evaluated; nothing is read yet.

        Args:
            runs: runs to compare, the baseline first.
            ground_truth: the test set of all runs.
            output: folder to write to.
        """
        self.runs = runs
        self.ground_truth = ground_truth
        self.output = output
        self._evaluated = [r for r in runs if r.results_file(ground_truth.name).is_file()]

    def write(self, rows: Sequence[int]) -> None:
        """Write all figures and pictures, or say why there are none; then the summary.

        Args:
            rows: indices of the images to draw, see :func:`write_pictures`.
        """
        of_data = check_test_set(self._evaluated, self.ground_truth)
        of_data += compare_training_data(self.runs)
        of_data += self._frequencies[1]
        for sentence in of_data:
            logger.warning(sentence)
        remove_report(self.output)
        sentences = of_data + [
            self._not_evaluated(run) for run in self.runs if run not in self._evaluated
        ]
        sentences += advise_analyses(self.runs, self.ground_truth)
        sentences.append(write_differing_keys(self.runs, self.output))
        for study, compute in self._studies().items():
            logger.info(f"Figure {study.name}.")
            sentences.append(write_study(study, compute, self.output))
        sentences.append(self._write_pictures(rows))
        write_summary(sentences, self.output)

    def _studies(self) -> Mapping[type[Study], Callable[[], Study]]:
        """The functions that compute the numbers of the studies."""
        return {
            TrainingCurves: self._training_curves,
            CocoTable: self._coco_table,
            ClassAP: self._class_ap,
            ErrorTypes: self._error_types,
            LRPTable: self._lrp_table,
            ScoreIoU: self._score_iou,
            ScoreByRank: self._score_by_rank,
            ScoreByIoU: self._score_by_iou,
            SamePositives: self._same_positives,
        }

    @cached_property
    def _matches(self) -> dict[str, Matches]:
        name, content = self.ground_truth.name, self.ground_truth.content
        if self.runs[0] not in self._evaluated or len(self._evaluated) < 2:
            raise NothingToShow(f"it needs results of the baseline and another run on '{name}'.")
        if all(note.get("iscrowd") for note in content.get("annotations", ())):
            raise NothingToShow(f"'{name}' has no objects.")
        known = {category["id"] for category in content["categories"]}
        protocol = find_protocol(self._evaluated, self.ground_truth)
        found = {}
        for run in self._evaluated:
            logger.info(f"Reading and matching the detections of {run.name}.")
            with without_collections():
                selected = protocol.select(read_results(run, name, known))
                found[run.name] = protocol.match(selected)
        return found

    @property
    def _by_class(self) -> dict[str, Mapping[str, ClassMatches]]:
        return {run: matches.by_class for run, matches in self._matches.items()}

    @cached_property
    def _frequencies(self) -> tuple[dict[str, str], list[str]]:
        return find_frequencies(self._evaluated, self.ground_truth)

    @cached_property
    def _replicated(self) -> dict[str, np.ndarray]:
        groups = draw_groups(len(self._matches[self.runs[0].name].images))
        replicated = {}
        for run, by_class in self._by_class.items():
            logger.info(f"Computing how far AP of {run} would stray on other images.")
            replicated[run] = replicated_ap(by_class, groups, f"AP of {run}")
        return replicated

    def _training_curves(self) -> TrainingCurves:
        logs = {run.name: run.folder / "metrics.json" for run in self.runs}
        return training_curves(logs, self.ground_truth.name)

    def _coco_table(self) -> CocoTable:
        matches = self._matches[self.runs[0].name]
        groups = group_classes(matches.by_class, self._frequencies[0])
        numbers = coco_table(matches.images_of_area, self._replicated, groups)
        logger.info(f"Results on '{self.ground_truth.name}', in percent:\n{numbers.text()}")
        return numbers

    def _class_ap(self) -> ClassAP:
        matches = self._matches[self.runs[0].name]
        return class_ap(
            list(matches.by_class), matches.num_objects, matches.images_of_class, self._replicated
        )

    def _error_types(self) -> ErrorTypes:
        return error_types(self._matches)

    @cached_property
    def _lrp(self) -> LRPTable:
        return lrp_table(self._by_class)

    def _lrp_table(self) -> LRPTable:
        return self._lrp

    def _score_iou(self) -> ScoreIoU:
        return score_iou(self._by_class)

    @property
    def _candidates(self) -> dict[str, PartReader]:
        return open_candidates(self.runs)

    def _score_by_rank(self) -> ScoreByRank:
        return score_by_rank(self._candidates)

    def _score_by_iou(self) -> ScoreByIoU:
        return score_by_iou(self._candidates)

    def _same_positives(self) -> SamePositives:
        return same_positives(self._candidates)

    def _write_pictures(self, rows: Sequence[int]) -> str:
        remove_pictures(self.output)
        try:
            sentence = write_pictures(
                self._matches,
                {run: self._lrp.thresholds(run) for run in self._matches},
                self.ground_truth.image_root,
                rows,
                self.output,
            )
        except NothingToShow as reason:
            return f"pictures: none, {reason}"
        return f"pictures: {sentence}"

    def _not_evaluated(self, run: RunFolder) -> str:
        keys = ["DATASETS.TEST", f'["{self.ground_truth.name}"]', "OUTPUT_DIR", str(run.folder)]
        words = [path_of("imbdet"), "train", "--config-file", str(run.folder / "config.yaml")]
        command = shlex.join([*words, "--eval-only", "MODEL.WEIGHTS", str(run.weights), *keys])
        return f"{run.name} has no results on '{self.ground_truth.name}', which `{command}` writes."
