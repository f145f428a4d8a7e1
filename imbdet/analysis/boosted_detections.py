"""Detections of a two-stage detector in an image, with its own scores or with boosted ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.modeling.roi_heads.fast_rcnn import fast_rcnn_inference
from detectron2.structures import BoxMode
from torch import Tensor, nn

from imbdet.analysis.candidate_rows import hierarchical_ranks
from imbdet.analysis.frozen_detector import ImageCandidates
from imbdet.analysis.raised_scores import Boost, boost
from imbdet.evaluation.comparison import Comparison, compare
from imbdet.figures.boosting import BASELINE, TOPS, Boosting, variant_name, variants
from imbdet.figures.columns import BOX, Chunks
from imbdet.figures.study import NothingToShow
from imbdet.structures.classifiers import Classifier

IOU_THRESHOLDS = (0.5, 0.75, 0.9)


def boosted(found: ImageCandidates, classifier: Classifier) -> dict[int, Boost]:
    """The boosts of an image by number of TOPS, without the appended ground truth."""
    candidates, rows = found.candidates, found.own_positives
    ranks, classes = hierarchical_ranks(found, rows), candidates.gt_labels[rows]
    scores = candidates.require_outputs().scores
    return {top: boost(scores, rows, classes, ranks, top, classifier) for top in TOPS}


def boost_variants(found: ImageCandidates, boosts: Mapping[int, Boost]) -> dict[str, Tensor]:
    """By variant, (M, K) scores: the detector's own and the boosted ones."""
    scores = {BASELINE: found.candidates.require_outputs().scores}
    return scores | {variant_name(top): result.scores for top, result in boosts.items()}


def detect(
    image: dict, found: ImageCandidates, scores: Mapping[str, Tensor], predictor: nn.Module
) -> dict[str, object]:
    """Rows of the detections of all variants, for the schema DETECTIONS.

    Args:
        image: detectron2's dict.
        found: candidates of the image.
        scores: by variant, (M, K) scores of the candidates; those of the appended ground truth do
            not count.
        predictor: detectron2's ``FastRCNNOutputLayers``, for the options of the test.
    """
    parts = {name: _detect(image, found, values, predictor) for name, values in scores.items()}
    counts = [len(part["score"]) for part in parts.values()]
    joined = {
        name: np.concatenate([part[name] for part in parts.values()])
        for name in ("class", "score", *BOX)
    }
    return {
        "variant": np.repeat(list(parts), counts),
        "image_id": [str(image["image_id"])] * sum(counts),
        **joined,
    }


def _detect(
    image: dict, found: ImageCandidates, scores: Tensor, predictor: nn.Module
) -> dict[str, np.ndarray]:
    outputs = found.candidates.require_outputs()
    proposals = slice(0, len(scores) - found.num_appended)
    boxes = outputs.require_transform().apply_deltas(
        outputs.deltas[proposals], found.candidates.boxes[proposals]
    )
    scores = torch.cat([scores, torch.zeros_like(scores[:, :1])], dim=1)  # scores of the background
    (instances,), _ = fast_rcnn_inference(
        [boxes],
        [scores[proposals]],
        [found.targets.image_size],
        predictor.test_score_thresh,
        predictor.test_nms_thresh,
        predictor.test_topk_per_image,
    )
    instances = detector_postprocess(instances, image["height"], image["width"])
    corners = instances.pred_boxes.tensor.cpu().numpy()
    return {
        "class": instances.pred_classes.cpu().numpy(),
        "score": instances.scores.cpu().numpy(),
        **dict(zip(BOX, corners.T, strict=True)),
    }


def evaluate_boosts(
    detections: Chunks,
    boosts: Chunks,
    dataset_dicts: Sequence[dict],
    classes: Sequence[str],
    **options: Any,
) -> Boosting:
    """Compare the detections of all variants with the ground truth.

    Args:
        detections: chunks with all columns of the schema DETECTIONS.
        boosts: chunks with "top", "num_boosted" and "decrease" of each image.
        dataset_dicts: detectron2's dicts of the images.
        classes: names of the classes.
        options: see :func:`imbdet.evaluation.comparison.compare`.

    Raises:
        NothingToShow: no positive was boosted.
    """
    decreases, num_boosted = dict.fromkeys(TOPS, 0.0), dict.fromkeys(TOPS, 0)
    for chunk in boosts:
        for top in TOPS:
            rows = chunk["top"] == top
            decreases[top] += float(chunk["decrease"][rows].sum())
            num_boosted[top] += int(chunk["num_boosted"][rows].sum())
    if not all(num_boosted.values()):
        raise NothingToShow("there are no positives whose scores could be raised.")
    comparisons = compare_variants(detections, variants(), dataset_dicts, classes, **options)
    precisions, ap = {}, {}
    for variant, comparison in comparisons.items():
        curves = comparison.precision[..., 0, -1]  # (T, R, K) of objects of all sizes
        has_objects = (curves > -1).all(axis=(0, 1))
        curves = curves[..., has_objects].mean(axis=-1)
        ap[variant] = 100 * float(curves.mean())
        for threshold in IOU_THRESHOLDS:
            precisions[variant, threshold] = curves[round((threshold - 0.5) / 0.05)]
    return Boosting(ap, precisions, decreases, num_boosted)


def compare_variants(
    detections: Chunks,
    names: Sequence[str],
    dataset_dicts: Sequence[dict],
    classes: Sequence[str],
    library: str = "faster-coco-eval",
    **options: Any,
) -> dict[str, Comparison]:
    """By variant, the comparison of its detections with the ground truth.

    Args:
        detections: chunks with all columns of the schema DETECTIONS.
        names: names of the variants; one may have no detections.
        dataset_dicts: detectron2's dicts of the images.
        classes: names of the classes.
        library: see :func:`imbdet.evaluation.comparison.compare`.
        options: other options of that function.
    """
    found: dict[str, list[dict]] = {variant: [] for variant in names}
    for chunk in detections:
        for variant, result in _coco_results(chunk):
            found[variant].append(result)
    ground_truth = coco_ground_truth(dataset_dicts, classes)
    return {
        variant: compare(ground_truth, results, iou_type="bbox", library=library, **options)
        for variant, results in found.items()
    }


def _coco_results(chunk: Mapping[str, np.ndarray]) -> zip:
    """The variant of each detection, and the detection in COCO's result format."""
    corners = np.stack([chunk[name] for name in BOX], axis=1).astype(float)
    sizes = corners[:, 2:] - corners[:, :2]
    boxes = np.concatenate([corners[:, :2], sizes], axis=1).tolist()
    results = [
        {"image_id": image_id, "category_id": category, "bbox": box, "score": score}
        for image_id, category, box, score in zip(
            chunk["image_id"], chunk["class"].tolist(), boxes, chunk["score"].tolist(), strict=True
        )
    ]
    return zip(chunk["variant"], results, strict=True)


def coco_ground_truth(dataset_dicts: Sequence[dict], classes: Sequence[str]) -> dict:
    """The ground truth of some images in COCO's format, with the detector's classes as ids."""
    annotations = []
    for image in dataset_dicts:
        for note in image["annotations"]:
            box = BoxMode.convert(list(note["bbox"]), note["bbox_mode"], BoxMode.XYWH_ABS)
            annotations.append(
                {
                    "image_id": str(image["image_id"]),
                    "category_id": note["category_id"],
                    "bbox": box,
                    "area": note.get("area", box[2] * box[3]),
                    "iscrowd": note.get("iscrowd", 0),
                }
            )
    return {
        "images": [{"id": str(image["image_id"])} for image in dataset_dicts],
        "categories": [{"id": i, "name": name} for i, name in enumerate(classes)],
        "annotations": annotations,
    }
