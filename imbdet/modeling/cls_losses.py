"""Classification losses by the names that MODEL.CLS_LOSS and MODEL.RPN_LOSS.CLS give them."""

from collections.abc import Callable
from functools import partial

from detectron2.config import CfgNode
from torch import Tensor

from imbdet import losses
from imbdet.errors import UserError
from imbdet.modeling.box_losses import box_loss_key
from imbdet.modeling.criteria import (
    ALRPCriterion,
    PointwiseCriterion,
    RankingCriterion,
    RankSortCriterion,
)
from imbdet.modeling.registry import CLS_LOSS_REGISTRY, ClsLoss
from imbdet.modeling.sites import Site, get_key


def pointwise(loss: Callable[..., Tensor], activation: str = "sigmoid") -> ClsLoss:
    """A loss that each sample pays for itself."""
    return ClsLoss(activation, partial(PointwiseCriterion, cls_loss=loss))


def ranking(loss: Callable[..., Tensor]) -> ClsLoss:
    """A loss of the ranking of all samples, whatever the box loss."""
    return ClsLoss("sigmoid", partial(RankingCriterion, cls_loss=loss))


@CLS_LOSS_REGISTRY.register()
def softmax_cross_entropy(cfg: CfgNode, site: Site) -> ClsLoss:
    """Cross-entropy over the classes and the background."""
    return pointwise(losses.softmax_cross_entropy_loss, "softmax")


@CLS_LOSS_REGISTRY.register()
def sigmoid_cross_entropy(cfg: CfgNode, site: Site) -> ClsLoss:
    """Binary cross-entropy of each class."""
    return pointwise(losses.sigmoid_cross_entropy_loss)


@CLS_LOSS_REGISTRY.register()
def focal(cfg: CfgNode, site: Site) -> ClsLoss:
    """Focal loss of each class."""
    alpha, gamma = get_key(cfg, site.focal_alpha), get_key(cfg, site.focal_gamma)
    return pointwise(partial(losses.focal_loss, alpha=alpha, gamma=gamma))


@CLS_LOSS_REGISTRY.register()
def quality_focal(cfg: CfgNode, site: Site) -> ClsLoss:
    """Quality focal loss, with the IoU of the decoded boxes as targets."""
    loss = partial(
        losses.quality_focal_loss, beta=get_key(cfg, f"{site.cls_loss}.QUALITY_FOCAL.BETA")
    )
    return ClsLoss("sigmoid", partial(PointwiseCriterion, cls_loss=loss, uses_ious=True))


@CLS_LOSS_REGISTRY.register()
def varifocal(cfg: CfgNode, site: Site) -> ClsLoss:
    """Varifocal loss, with the IoU of the decoded boxes as targets."""
    node = get_key(cfg, f"{site.cls_loss}.VARIFOCAL")
    loss = partial(losses.varifocal_loss, alpha=node.ALPHA, gamma=node.GAMMA)
    return ClsLoss("sigmoid", partial(PointwiseCriterion, cls_loss=loss, uses_ious=True))


@CLS_LOSS_REGISTRY.register()
def ap(cfg: CfgNode, site: Site) -> ClsLoss:
    """AP loss over the batch."""
    node = get_key(cfg, f"{site.cls_loss}.AP")
    return ranking(partial(losses.ap_loss, delta=node.DELTA, interpolated=node.INTERPOLATED))


@CLS_LOSS_REGISTRY.register()
def auc(cfg: CfgNode, site: Site) -> ClsLoss:
    """AUC loss over the batch."""
    return ranking(partial(losses.auc_loss, delta=get_key(cfg, f"{site.cls_loss}.AUC.DELTA")))


@CLS_LOSS_REGISTRY.register()
def alrp(cfg: CfgNode, site: Site) -> ClsLoss:
    """aLRP loss over the batch, with its own use of the box loss."""
    name, key = box_loss_key(cfg, site)
    if name != "giou":
        raise UserError(
            f"{site.cls_loss}.NAME 'alrp' ranks by a bounded localisation error, but {key} is "
            f"{name!r}: set {site.box_loss}.NAME to 'giou'."
        )
    node = get_key(cfg, f"{site.cls_loss}.ALRP")
    criterion = partial(
        ALRPCriterion,
        delta=node.DELTA,
        tau=node.TAU,
        momentum=node.MOMENTUM,
        smooth_localisation=node.SMOOTH_LOCALISATION,
    )
    return ClsLoss("sigmoid", criterion)


@CLS_LOSS_REGISTRY.register()
def rank_sort(cfg: CfgNode, site: Site) -> ClsLoss:
    """Rank & Sort loss over the batch, with its own weight of the box loss."""
    delta = get_key(cfg, f"{site.cls_loss}.RANK_SORT.DELTA")
    return ClsLoss("sigmoid", partial(RankSortCriterion, delta=delta))
