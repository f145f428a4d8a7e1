"""Classification losses by the names that MODEL.CLS_LOSS and MODEL.RPN_LOSS.CLS give them."""

from functools import partial

from detectron2.config import CfgNode

from imbdet import losses
from imbdet.modeling.registry import CLS_LOSS_REGISTRY, ClsLoss
from imbdet.modeling.sites import Site, get_key


@CLS_LOSS_REGISTRY.register()
def softmax_cross_entropy(cfg: CfgNode, site: Site) -> ClsLoss:
    """Cross-entropy over the classes and the background."""
    return ClsLoss(losses.softmax_cross_entropy_loss, "softmax")


@CLS_LOSS_REGISTRY.register()
def sigmoid_cross_entropy(cfg: CfgNode, site: Site) -> ClsLoss:
    """Binary cross-entropy of each class."""
    return ClsLoss(losses.sigmoid_cross_entropy_loss, "sigmoid")


@CLS_LOSS_REGISTRY.register()
def focal(cfg: CfgNode, site: Site) -> ClsLoss:
    """Focal loss of each class."""
    alpha, gamma = get_key(cfg, site.focal_alpha), get_key(cfg, site.focal_gamma)
    return ClsLoss(partial(losses.focal_loss, alpha=alpha, gamma=gamma), "sigmoid")


@CLS_LOSS_REGISTRY.register()
def ap(cfg: CfgNode, site: Site) -> ClsLoss:
    """AP loss over the batch."""
    node = get_key(cfg, f"{site.cls_loss}.AP")
    loss = partial(losses.ap_loss, delta=node.DELTA, interpolated=node.INTERPOLATED)
    return ClsLoss(loss, "sigmoid", is_ranking=True)


@CLS_LOSS_REGISTRY.register()
def auc(cfg: CfgNode, site: Site) -> ClsLoss:
    """AUC loss over the batch."""
    delta = get_key(cfg, f"{site.cls_loss}.AUC.DELTA")
    return ClsLoss(partial(losses.auc_loss, delta=delta), "sigmoid", is_ranking=True)
