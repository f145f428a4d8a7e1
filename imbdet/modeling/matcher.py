"""detectron2's matcher as an assigner."""

from collections.abc import Callable

import torch
from detectron2.config import CfgNode
from detectron2.modeling.matcher import Matcher
from detectron2.structures import Boxes, pairwise_iou
from detectron2.utils.memory import retry_if_cuda_oom
from torch import Tensor

from imbdet.assigners import Assigner, Assignment, Priors, Targets, join_images
from imbdet.config_files.keys import get_key
from imbdet.modeling.batch_matcher import BatchMatcher
from imbdet.modeling.site_keys import Site

# Function of the (G_i, R_i) IoUs of an image that returns (R_i,) matched indices and labels.
MatchImage = Callable[[Tensor], tuple[Tensor, Tensor]]


def build_matcher(cfg: CfgNode, site: Site) -> Matcher:
    """The matcher that detectron2 builds at a site; only anchors get low-quality matches."""
    node = get_key(cfg, site.head)
    return Matcher(node.IOU_THRESHOLDS, node.IOU_LABELS, allow_low_quality_matches=site.is_dense)


def matching_assigner(matcher: MatchImage) -> Assigner:
    """The assigner of a matcher, for all images at once if the matcher is detectron2's own."""
    # A matcher of another class may need the whole matrix of an image.
    if type(matcher) is Matcher and matcher.labels[0] != 1:
        return BatchMatcher(matcher)
    return MatcherAssigner(matcher)


class MatcherAssigner:
    """Assigns by any matcher, image by image, and keeps the IoU of the match."""

    def __init__(self, matcher: MatchImage):
        """Wrap a matcher."""
        self.matcher = matcher

    @torch.no_grad()
    def __call__(self, priors: Priors, targets: Targets) -> Assignment:
        """See :class:`imbdet.assigners.Assigner`; ``ious`` are those of all rows."""
        boxes = Boxes(priors.boxes)
        images = [self._assign_image(boxes, objects) for objects in targets.by_image()]
        return join_images(images, targets)

    def _assign_image(self, boxes: Boxes, objects: Targets) -> Assignment:
        # Out of GPU memory, the matrix of all pairs moves to the CPU; only vectors come back.
        quality = retry_if_cuda_oom(pairwise_iou)(Boxes(objects.boxes), boxes)
        matched_idxs, match_labels = retry_if_cuda_oom(self.matcher)(quality)
        match_labels = match_labels.to(boxes.device)
        others = torch.where(match_labels == 0, -1, -2)
        if len(objects) == 0:
            zeros = boxes.tensor.new_zeros(len(boxes))
            return Assignment(others, zeros, max_ious=zeros)
        ious = quality.gather(0, matched_idxs.to(quality.device)[None])[0].to(boxes.device)
        gt_idxs = torch.where(match_labels == 1, matched_idxs.to(boxes.device), others)
        return Assignment(gt_idxs, ious, max_ious=ious)
