"""Test-time augmentation by TEST.AUG, which is detectron2's."""

from detectron2.config import CfgNode
from detectron2.modeling import GeneralizedRCNNWithTTA
from torch import nn

from imbdet.errors import UserError
from imbdet.modeling.detector_kind import bases_of, modules_of


def augment_tests(cfg: CfgNode, model: nn.Module) -> nn.Module:
    """The detector, or one that merges its detections in resized and flipped copies of an image.

    Args:
        cfg: config whose TEST.AUG.ENABLED decides; it passed :func:`refuse_test_augmentation`.
        model: the detector; it is not copied.
    """
    return GeneralizedRCNNWithTTA(cfg, model) if cfg.TEST.AUG.ENABLED else model


def refuse_test_augmentation(cfg: CfgNode) -> None:
    """Raise UserError if TEST.AUG is on for a detector that detectron2 does not augment."""
    if not cfg.TEST.AUG.ENABLED:
        return
    reasons = {
        "its keypoints are not (MODEL.KEYPOINT_ON)": cfg.MODEL.KEYPOINT_ON,
        "precomputed proposals are of one size (MODEL.LOAD_PROPOSALS)": cfg.MODEL.LOAD_PROPOSALS,
        f"MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE!r}": not any(
            "GeneralizedRCNN" in bases_of(module) for module in modules_of(cfg).values()
        ),
    }
    for reason, holds in reasons.items():
        if holds:
            raise UserError(
                "TEST.AUG.ENABLED is True, but detectron2 merges the boxes and masks of two-stage "
                f"detectors alone, and {reason}: set it to False."
            )
