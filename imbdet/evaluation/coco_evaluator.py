"""Evaluates a detector on a data set in COCO's or LVIS's format, on one or several processes."""

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import Metadata, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.structures import Instances
from detectron2.utils import comm
from detectron2.utils.logger import log_first_n

from imbdet.data.coco import require_folder_name
from imbdet.data.summary import summarize_content
from imbdet.evaluation.comparison import RECALLS, Comparison, check_library, compare_nothing
from imbdet.evaluation.confusion import confuse
from imbdet.evaluation.detection_pictures import draw_detections
from imbdet.evaluation.ground_truth import load_ground_truth
from imbdet.evaluation.kept_detections import keep
from imbdet.evaluation.limits import MAX_DETECTIONS
from imbdet.evaluation.lrp import OptimalLRP, optimal_lrp
from imbdet.evaluation.matches import Matches
from imbdet.evaluation.metrics import CocoMetrics
from imbdet.evaluation.precision_curves import precision_curves
from imbdet.evaluation.protocols import CocoProtocol, LvisProtocol
from imbdet.evaluation.tables import format_overall, format_per_class
from imbdet.evaluation.thresholds import ENTRY, ScoreThresholds
from imbdet.files import replacing, without_nan

logger = logging.getLogger(__name__)


def build_coco_evaluator(
    cfg: CfgNode,
    dataset_name: str,
    output_dir: str,
    training_images: Mapping[str, int] = MappingProxyType({}),
) -> "COCOEvaluator":
    """Build a :class:`COCOEvaluator` from the keys ``TEST.*`` and ``MODEL.MASK_ON``.

    Args:
        cfg: the config.
        dataset_name: name of a data set in detectron2's catalogs.
        output_dir: see :class:`COCOEvaluator`.
        training_images: see :class:`COCOEvaluator`.

    Raises:
        UserError: ``TEST.COCO_LIBRARY`` does not exist.
    """
    if cfg.MODEL.KEYPOINT_ON:
        message = "Keypoints are in the file of results, but only boxes and masks are compared."
        log_first_n(logging.WARNING, message, key="message")
    return COCOEvaluator(
        dataset_name,
        output_dir,
        iou_types=("bbox", "segm") if cfg.MODEL.MASK_ON else ("bbox",),
        library=cfg.TEST.COCO_LIBRARY,
        num_pictures=cfg.TEST.NUM_PICTURES,
        picture_score_thresh=cfg.TEST.PICTURE_SCORE_THRESH,
        max_detections=cfg.TEST.MAX_DETECTIONS,
        detections_per_image=cfg.TEST.DETECTIONS_PER_IMAGE,
        training_images=training_images,
        frequency_bounds=tuple(cfg.TEST.FREQUENCY_BOUNDS),
    )


class COCOEvaluator(DatasetEvaluator):
    """Computes COCO's or LVIS's metrics, logs them and writes them to files.

    As in detectron2, all images of the data set count: one that was never processed is an image
    without detections. Unlike there, an image processed twice counts once, and a detector that
    finds nothing has an AP of 0. The annotation file is taken as it is, boxes without area
    included; see :func:`load_ground_truth`.

    Files in the folder ``<output_dir>/<dataset_name>``, each complete or missing:

    - ``coco_instances_results.json``: the detections in COCO's result format;
    - ``metrics.json``: the metrics, with null for those that no ground truth defines, the optimal
      LRP of each class with its score threshold, which classes are rare, common and frequent, and a
      summary of the ground truth;
    - ``curves.json``: precision by recall of each class, and which classes are confused at these
      thresholds;
    - ``pictures/*.png``: see :func:`imbdet.evaluation.draw_detections`.

    Args:
        dataset_name: name of a data set in detectron2's catalogs. Without a ``json_file`` in its
            metadata, the registered dicts are the ground truth.
        output_dir: folder of the evaluation's files, detectron2's ``OUTPUT_DIR/inference``.
        iou_types: kinds of IoU that are compared: "bbox", "segm".
        library: "faster-coco-eval" or "pycocotools"; the metrics are the same.
        num_pictures: number of images to draw.
        picture_score_thresh: lowest score of a detection that is drawn; below 0 the threshold of
            each class's optimal LRP, or 0.3 without ground truth.
        max_detections: number of detections of a class in an image that count; COCO's is 100, and
            LVIS has no such limit.
        detections_per_image: number of detections that the detector returns for an image, for a
            warning where it is too small.
        training_images: number of training images with each class, by name, for a data set in
            COCO's format; LVIS's files say themselves which classes are rare.
        frequency_bounds: see :func:`imbdet.evaluation.frequency_groups.group_by_images`.

    Raises:
        UserError: the library does not exist, or the name cannot be that of a folder.
    """

    def __init__(
        self,
        dataset_name: str,
        output_dir: str | os.PathLike,
        *,
        iou_types: Sequence[str] = ("bbox",),
        library: str = "faster-coco-eval",
        num_pictures: int = 0,
        picture_score_thresh: float = -1,
        max_detections: int = MAX_DETECTIONS,
        detections_per_image: int = MAX_DETECTIONS,
        training_images: Mapping[str, int] = MappingProxyType({}),
        frequency_bounds: tuple[int, int] = (10, 100),
    ) -> None:
        check_library(library)
        require_folder_name(dataset_name, "The data set of an evaluation")
        self._dataset_name = dataset_name
        self._output_dir = Path(output_dir) / dataset_name
        self._iou_types = iou_types
        self._library = library
        self._num_pictures = num_pictures
        self._picture_score_thresh = picture_score_thresh
        self._max_detections = max_detections
        self._detections_per_image = detections_per_image
        self._training_images = training_images
        self._frequency_bounds = frequency_bounds
        self.reset()

    def reset(self) -> None:
        """Forget all detections."""
        self._detections: dict[Any, list[dict]] = {}  # image id -> COCO's result format

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Keep the detections of some images.

        Args:
            inputs: input dicts of the detector, of which "image_id" is used.
            outputs: output dicts of the detector, with "instances" in the coordinates of the
                original image.
        """
        for image, output in zip(inputs, outputs, strict=True):
            instances = drop_non_finite(output["instances"].to("cpu"))
            image_id = image["image_id"]
            self._detections[image_id] = instances_to_coco_json(instances, image_id)

    def undefined(self) -> dict[str, dict[str, float]]:
        """The result of :meth:`evaluate` with NaN for all values."""
        ground_truth = self._load_ground_truth()
        annotations = ground_truth.get("annotations")
        if not annotations:
            return {}
        protocol = self._protocol(ground_truth)
        nothing = compare_nothing(ground_truth, protocol.limits)
        values = CocoMetrics.of(nothing, protocol.frequencies()).flatten()
        return dict.fromkeys(self._compared(annotations), values)

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Compare the detections of all processes with the ground truth.

        Returns:
            "bbox" (and "segm") -> metric -> percent or NaN, as :meth:`CocoMetrics.flatten` gives
            them. Empty in other processes than the first, and without annotations to compare with.

        Raises:
            UserError: a file cannot be written.
        """
        comm.synchronize()
        parts = comm.gather(self._detections, dst=0)
        if not comm.is_main_process():
            return {}
        metadata = MetadataCatalog.get(self._dataset_name)
        ground_truth = self._load_ground_truth()
        by_image = dict(chain.from_iterable(part.items() for part in parts))
        detections = _restore_category_ids(
            list(chain.from_iterable(by_image.values())), _category_ids(metadata, ground_truth)
        )
        self._write("coco_instances_results.json", detections)
        metrics, best = self._compare(ground_truth, detections)
        folder = self._output_dir / "pictures"
        drawn = draw_detections(
            ground_truth,
            detections,
            image_root=metadata.get("image_root", ""),
            output_dir=folder,
            num_pictures=self._num_pictures,
            thresholds=self._choose_thresholds(best),
        )
        for path in set(folder.glob("*.png")).difference(drawn):
            path.unlink()  # a picture of an earlier evaluation, with other weights
        return {iou_type: values.flatten() for iou_type, values in metrics.items()}

    def _compare(
        self, ground_truth: dict, detections: list[dict]
    ) -> tuple[dict[str, CocoMetrics], dict[str, OptimalLRP]]:
        """The metrics by IoU type, and optimal LRP by class; both empty without objects."""
        annotations = ground_truth.get("annotations")
        if not annotations:
            logger.info(f"'{self._dataset_name}' has no annotations to compare detections with.")
            return {}, {}
        protocol = self._protocol(ground_truth)
        limits = protocol.describe_limits(self._detections_per_image)
        if limits:
            message = f"'{self._dataset_name}': {limits}"
            log_first_n(logging.WARNING, message, key="message")  # not at each evaluation
        selected = protocol.select(detections)
        comparisons = {
            iou_type: protocol.compare(selected, iou_type=iou_type, library=self._library)
            for iou_type in self._compared(chain(annotations, detections))
        }
        frequencies = protocol.frequencies()
        metrics = {kind: CocoMetrics.of(found, frequencies) for kind, found in comparisons.items()}
        matches = protocol.match(selected)
        best = {name: optimal_lrp(found) for name, found in matches.by_class.items()}
        self._report(metrics, best, protocol, len(detections))
        self._write("curves.json", _describe_curves(comparisons, matches, best))
        return metrics, best

    def _compared(self, records: Iterable[Mapping]) -> list[str]:
        """What can be compared of annotations and detections: masks only if each has one."""
        # Files of boxes alone have no "segmentation", or an empty one.
        if "segm" not in self._iou_types or all(record.get("segmentation") for record in records):
            return list(self._iou_types)
        message = (
            f"'{self._dataset_name}': masks are not evaluated, since not every object has one."
        )
        log_first_n(logging.WARNING, message, key="message")  # not at each evaluation
        return [iou_type for iou_type in self._iou_types if iou_type != "segm"]

    def _load_ground_truth(self) -> dict:
        metadata = MetadataCatalog.get(self._dataset_name)
        return load_ground_truth(metadata, masks="segm" in self._iou_types)

    def _protocol(self, ground_truth: dict) -> CocoProtocol | LvisProtocol:
        if MetadataCatalog.get(self._dataset_name).get("evaluator_type") == "lvis":
            return LvisProtocol(ground_truth)
        return CocoProtocol(
            ground_truth, self._max_detections, self._training_images, self._frequency_bounds
        )

    def _choose_thresholds(self, best: Mapping[str, OptimalLRP]) -> ScoreThresholds:
        if self._picture_score_thresh >= 0:
            return ScoreThresholds.fixed(self._picture_score_thresh)
        return ScoreThresholds.best(best)

    def _report(
        self,
        metrics: dict[str, CocoMetrics],
        best: Mapping[str, OptimalLRP],
        protocol: CocoProtocol | LvisProtocol,
        num_detections: int,
    ) -> None:
        ground_truth = protocol.ground_truth
        summary = {
            "dataset": self._dataset_name,
            "num_images": len(ground_truth["images"]),
            "num_detections": num_detections,
            "library": self._library,
            **protocol.summary(),
            "categories": [[c["id"], c["name"]] for c in ground_truth["categories"]],
            "annotations": asdict(summarize_content(ground_truth)),
            "metrics": {iou_type: asdict(values) for iou_type, values in metrics.items()},
            ENTRY: {name: asdict(value) for name, value in best.items()},
        }
        self._write("metrics.json", without_nan(summary), indent=2)
        departure = protocol.describe_departure()
        for iou_type, values in metrics.items():
            title = f"Results on '{self._dataset_name}' ({iou_type}, in percent{departure})"
            logger.info(f"{title}:\n{format_overall(values)}")
            logger.info(f"{title} by class:\n{format_per_class(values)}")

    def _write(self, file_name: str, content: Any, indent: int | None = None) -> None:
        with replacing(self._output_dir / file_name) as path:
            path.write_text(json.dumps(content, indent=indent, allow_nan=False))


def drop_non_finite(instances: Instances) -> Instances:
    """Drop boxes and scores of NaN or infinity, which detectron2's RetinaNet may return."""
    values = torch.column_stack([instances.pred_boxes.tensor, instances.scores])
    return instances[values.isfinite().all(dim=1)]


def _describe_curves(
    comparisons: Mapping[str, Comparison], matches: Matches, best: Mapping[str, OptimalLRP]
) -> dict[str, Any]:
    """The content of ``curves.json``."""
    kept = keep(matches, {name: value.threshold for name, value in best.items()})
    return {
        "recalls": RECALLS.round(2).tolist(),
        "precisions": {kind: precision_curves(found) for kind, found in comparisons.items()},
        "confusion": confuse(matches, kept).rows(),
    }


def _category_ids(metadata: Metadata, ground_truth: Mapping) -> dict[int, Any]:
    """The detector's classes 0, 1, ... -> the ids in the annotation file."""
    class_of = metadata.get("thing_dataset_id_to_contiguous_id")
    known = sorted(category["id"] for category in ground_truth["categories"])
    if class_of is None:
        return dict(enumerate(known))
    return {class_of[category_id]: category_id for category_id in known}


def _restore_category_ids(detections: list[dict], category_ids: dict[int, Any]) -> list[dict]:
    known = [
        {**record, "category_id": category_ids[record["category_id"]]}
        for record in detections
        if record["category_id"] in category_ids
    ]
    if len(known) < len(detections):
        logger.warning(
            f"{len(detections) - len(known):,} of {len(detections):,} detections are dropped: "
            f"their classes are beyond the {len(category_ids)} of the data set."
        )
    return known
