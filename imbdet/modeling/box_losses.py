"""Box losses by the names that MODEL.BOX_LOSS and MODEL.RPN_LOSS.BOX give them."""

from collections.abc import Callable
from functools import partial

from detectron2.config import CfgNode
from torch import Tensor

from imbdet import losses
from imbdet.modeling.registry import BOX_LOSS_REGISTRY, BoxLoss
from imbdet.modeling.sites import Site, get_key


def on_deltas(loss: Callable[[Tensor, Tensor], Tensor]) -> BoxLoss:
    """Box loss that compares predicted with target deltas."""
    return lambda positives: loss(positives.pred_deltas, positives.gt_deltas)


def on_boxes(loss: Callable[[Tensor, Tensor], Tensor]) -> BoxLoss:
    """Box loss that compares decoded with ground-truth boxes."""
    return lambda positives: loss(positives.pred_boxes, positives.gt_boxes)


@BOX_LOSS_REGISTRY.register()
def l1(cfg: CfgNode, site: Site) -> BoxLoss:
    """L1 distance of the deltas."""
    return on_deltas(losses.smooth_l1_loss)


@BOX_LOSS_REGISTRY.register()
def smooth_l1(cfg: CfgNode, site: Site) -> BoxLoss:
    """Smooth L1 distance of the deltas; its beta is detectron2's key of the site."""
    return on_deltas(partial(losses.smooth_l1_loss, beta=get_key(cfg, site.smooth_l1_beta)))


@BOX_LOSS_REGISTRY.register()
def giou(cfg: CfgNode, site: Site) -> BoxLoss:
    """1 - GIoU of the decoded boxes."""
    return on_boxes(losses.giou_loss)


@BOX_LOSS_REGISTRY.register()
def diou(cfg: CfgNode, site: Site) -> BoxLoss:
    """DIoU loss of the decoded boxes."""
    return on_boxes(losses.diou_loss)


@BOX_LOSS_REGISTRY.register()
def ciou(cfg: CfgNode, site: Site) -> BoxLoss:
    """CIoU loss of the decoded boxes."""
    return on_boxes(losses.ciou_loss)
