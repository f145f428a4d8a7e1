"""The images and annotations that all runs are compared on."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from imbdet.compare.run_folders import RunFolder
from imbdet.data import register_datasets
from imbdet.data.checks import read_dataset
from imbdet.errors import UserError, suggest
from imbdet.evaluation.ground_truth import load_ground_truth

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """A test set.

    Attributes:
        name: name in detectron2's catalogs.
        content: content of its annotation file.
        image_root: folder of its images.
        json_file: path of its annotation file; "" = none.
        evaluator_type: "lvis" for LVIS's protocol, else COCO's.
    """

    name: str
    content: Mapping[str, Any]
    image_root: str
    json_file: str
    evaluator_type: str = "coco"


def load_test_set(runs: Sequence[RunFolder], name: str | None) -> GroundTruth:
    """The test set that all runs share.

    Args:
        runs: runs to compare, the baseline first.
        name: name of the data set; None = the first of DATASETS.TEST.

    Raises:
        UserError: the test set is not the same in all runs, or cannot be loaded.
    """
    baseline, *others = runs
    if name is None:
        for run in others:
            _require_same("DATASETS.TEST", _first_test_set, baseline, run)
        name = _first_test_set(baseline.cfg)
        if not name:
            raise UserError("DATASETS.TEST is empty: name the data set by --dataset.")
    ground_truth = _load(baseline, name)
    for run in others:
        other = _load(run, name, known=ground_truth)
        if any(
            ground_truth.content.get(part) != other.content.get(part)
            for part in ("images", "categories", "annotations")
        ):
            _refuse(baseline, run, ground_truth, other)
    return ground_truth


def _first_test_set(cfg: CfgNode) -> str:
    return next(iter(cfg.DATASETS.TEST), "")


def _load(run: RunFolder, name: str, known: GroundTruth | None = None) -> GroundTruth:
    """A data set of a run; it is not read again if its annotation file is that of ``known``."""
    # The entries of other runs stay registered: a run may have been tested on them later on.
    register_datasets(run.cfg)
    if name not in DatasetCatalog:
        options = [option for option in DatasetCatalog if option in run.cfg.DATASETS.TEST]
        raise UserError(f"{run.name} knows no data set '{name}'. {suggest(name, options)}")
    json_file = str(MetadataCatalog.get(name).get("json_file", ""))
    if known and json_file and json_file == known.json_file:
        return known
    logger.info(f"Reading the test set '{name}' of {run.name}.")
    read_dataset(name)
    metadata = MetadataCatalog.get(name)
    return GroundTruth(
        name,
        load_ground_truth(metadata),
        metadata.get("image_root", ""),
        json_file,
        metadata.get("evaluator_type", "coco"),
    )


def _require_same(
    key: str, read: Callable[[CfgNode], object], first: RunFolder, second: RunFolder
) -> None:
    values = [read(run.cfg) for run in (first, second)]
    if values[0] != values[1]:
        raise UserError(
            f"The runs have different test sets: {key} is {values[0]!r} in {first.name} "
            f"and {values[1]!r} in {second.name}."
        )


def _refuse(first: RunFolder, second: RunFolder, truth: GroundTruth, other: GroundTruth) -> None:
    for key in first.cfg.DATASETS.SHAPES if truth.name.startswith("shapes_") else ():
        _require_same(
            f"DATASETS.SHAPES.{key}",
            lambda cfg, key=key: cfg.DATASETS.SHAPES[key],
            first,
            second,
        )
    raise UserError(
        f"The runs have different test sets: the annotations of '{truth.name}' "
        f"(DATASETS.{truth.evaluator_type.upper()}) are '{truth.json_file}' in {first.name} and "
        f"'{other.json_file}' in {second.name}, with different content."
    )
