"""Classification losses by the names that MODEL.CLS_LOSS and MODEL.RPN_LOSS.CLS give them."""

from collections.abc import Callable
from functools import partial

from detectron2.config import CfgNode
from torch import Tensor

from imbdet import losses
from imbdet.errors import UserError
from imbdet.learning.criteria import (
    ALRPCriterion,
    PointwiseCriterion,
    RankingCriterion,
    RankSortCriterion,
    SampleLoss,
)
from imbdet.modeling.box_losses import box_loss_key
from imbdet.modeling.registry import CLS_LOSS_REGISTRY, ClsLoss
from imbdet.modeling.sites import Site, get_key, read_by_level


def pointwise(
    loss: Callable[..., Tensor], activation: str = "sigmoid", **properties: bool
) -> ClsLoss:
    """A loss that each sample pays for itself; for its properties see :class:`SampleLoss`."""
    sample_loss = SampleLoss(loss, **properties)
    criterion = partial(PointwiseCriterion, cls_loss=sample_loss)
    return ClsLoss(activation, criterion, is_pointwise=True)


def ranking(loss: Callable[..., Tensor]) -> ClsLoss:
    """A loss of the ranking of all samples, whatever the box loss."""
    return ClsLoss("sigmoid", partial(RankingCriterion, cls_loss=loss))


@CLS_LOSS_REGISTRY.register()
def softmax_cross_entropy(cfg: CfgNode, site: Site) -> ClsLoss:
    """Cross-entropy over the classes and the background, of the RoI heads alone."""
    return pointwise(losses.softmax_cross_entropy_loss, "softmax")


@CLS_LOSS_REGISTRY.register()
def sigmoid_cross_entropy(cfg: CfgNode, site: Site) -> ClsLoss:
    """Binary cross-entropy of each class, balanced if its ALPHA is not negative."""
    alpha = get_key(cfg, f"{site.cls_loss}.SIGMOID_CROSS_ENTROPY.ALPHA")
    return pointwise(partial(losses.sigmoid_cross_entropy_loss, alpha=alpha))


@CLS_LOSS_REGISTRY.register()
def focal(cfg: CfgNode, site: Site) -> ClsLoss:
    """Focal loss of each class.

    Lin et al., ICCV 2017, https://arxiv.org/abs/1708.02002
    """
    alpha, gamma = get_key(cfg, site.focal_alpha), get_key(cfg, site.focal_gamma)
    return pointwise(partial(losses.focal_loss, alpha=alpha, gamma=gamma))


@CLS_LOSS_REGISTRY.register()
def quality_focal(cfg: CfgNode, site: Site) -> ClsLoss:
    """Quality focal loss, with the IoU of the decoded boxes as targets.

    Li et al., NeurIPS 2020, https://arxiv.org/abs/2006.04388
    """
    beta = get_key(cfg, f"{site.cls_loss}.QUALITY_FOCAL.BETA")
    return pointwise(partial(losses.quality_focal_loss, beta=beta), uses_ious=True)


@CLS_LOSS_REGISTRY.register()
def varifocal(cfg: CfgNode, site: Site) -> ClsLoss:
    """Varifocal loss, with the IoU of the decoded boxes as targets.

    Zhang et al., CVPR 2021, https://arxiv.org/abs/2008.13367
    """
    node = get_key(cfg, f"{site.cls_loss}.VARIFOCAL")
    loss = partial(losses.varifocal_loss, alpha=node.ALPHA, gamma=node.GAMMA)
    return pointwise(loss, uses_ious=True)


@CLS_LOSS_REGISTRY.register()
def ghm_c(cfg: CfgNode, site: Site) -> ClsLoss:
    """Sigmoid cross-entropy, harmonised by gradient norm.

    Li et al., AAAI 2019, https://arxiv.org/abs/1811.05181
    """
    node = get_key(cfg, f"{site.cls_loss}.GHM_C")
    harmonised = losses.GHMCLoss(node.BINS, node.MOMENTUM, correct_bias=node.CORRECT_BIAS)
    by_level = read_by_level(cfg, site, f"{site.cls_loss}.GHM_C")
    return pointwise(harmonised, is_normalized=True, by_level=by_level)


@CLS_LOSS_REGISTRY.register()
def dr(cfg: CfgNode, site: Site) -> ClsLoss:
    """DR loss.

    Qian et al., CVPR 2020, https://arxiv.org/abs/1907.10156
    """
    node = get_key(cfg, f"{site.cls_loss}.DR")
    loss = partial(
        losses.dr_loss,
        margin=node.MARGIN,
        sharpness=node.SHARPNESS,
        tau=node.TAU,
        lambda_pos=node.LAMBDA_POS,
        lambda_neg=node.LAMBDA_NEG,
    )
    return ranking(loss)


@CLS_LOSS_REGISTRY.register()
def ap(cfg: CfgNode, site: Site) -> ClsLoss:
    """AP loss.

    Chen et al., CVPR 2019, https://arxiv.org/abs/1904.06373
    """
    node = get_key(cfg, f"{site.cls_loss}.AP")
    return ranking(partial(losses.ap_loss, delta=node.DELTA, interpolated=node.INTERPOLATED))


@CLS_LOSS_REGISTRY.register()
def auc(cfg: CfgNode, site: Site) -> ClsLoss:
    """AUC loss.

    Chen et al., CVPR 2019, https://arxiv.org/abs/1904.06373
    """
    return ranking(partial(losses.auc_loss, delta=get_key(cfg, f"{site.cls_loss}.AUC.DELTA")))


@CLS_LOSS_REGISTRY.register()
def alrp(cfg: CfgNode, site: Site) -> ClsLoss:
    """aLRP loss, with its own use of the box loss.

    Oksuz et al., NeurIPS 2020, https://arxiv.org/abs/2009.13592
    """
    name, box_key = box_loss_key(cfg, site)
    if name != "giou":
        raise UserError(
            f"{site.cls_loss}.NAME 'alrp' ranks by a bounded localisation error, but {box_key} is "
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
    """Rank & Sort loss, with its own weight of the box loss.

    Oksuz et al., ICCV 2021, https://arxiv.org/abs/2107.11669
    """
    delta = get_key(cfg, f"{site.cls_loss}.RANK_SORT.DELTA")
    return ClsLoss("sigmoid", partial(RankSortCriterion, delta=delta))
