"""Box losses by the names that MODEL.BOX_LOSS and MODEL.RPN_LOSS.BOX give them."""

from functools import partial

from detectron2.config import CfgNode, get_cfg
from detectron2.utils.events import get_event_storage
from torch import Tensor

from imbdet import losses
from imbdet.errors import UserError
from imbdet.learning.criteria import BoxLoss
from imbdet.modeling.registry import BOX_LOSS_REGISTRY, lookup
from imbdet.modeling.sites import Site, get_key, read_by_level


def box_loss_key(cfg: CfgNode, site: Site) -> tuple[str, str]:
    """The name of a site's box loss and the key that gives it: ours, or detectron2's."""
    key = f"{site.box_loss}.NAME"
    name, detectron2_name = get_key(cfg, key), get_key(cfg, site.box_reg_loss_type)
    if not name:
        return detectron2_name, site.box_reg_loss_type
    default = get_key(get_cfg(), site.box_reg_loss_type)
    if detectron2_name not in (default, name):
        raise UserError(
            f"{key} is {name!r} and {site.box_reg_loss_type} is {detectron2_name!r}: "
            f"set only one of them."
        )
    return name, key


def build_box_loss(cfg: CfgNode, site: Site) -> BoxLoss:
    """Box loss of a site."""
    name, key = box_loss_key(cfg, site)
    return lookup(BOX_LOSS_REGISTRY, name, key)(cfg, site)


@BOX_LOSS_REGISTRY.register()
def l1(cfg: CfgNode, site: Site) -> BoxLoss:
    """L1 distance of the deltas."""
    return BoxLoss(losses.smooth_l1_loss)


@BOX_LOSS_REGISTRY.register()
def smooth_l1(cfg: CfgNode, site: Site) -> BoxLoss:
    """Smooth L1 distance of the deltas; its beta is detectron2's own key."""
    return BoxLoss(partial(losses.smooth_l1_loss, beta=get_key(cfg, site.smooth_l1_beta)))


@BOX_LOSS_REGISTRY.register()
def decayed_smooth_l1(cfg: CfgNode, site: Site) -> BoxLoss:
    """Smooth L1 distance of the deltas, whose beta falls with the iterations.

    Qian et al., CVPR 2020, https://arxiv.org/abs/1907.10156
    """
    node = get_key(cfg, f"{site.box_loss}.DECAYED_SMOOTH_L1")
    beta = partial(
        losses.decayed_beta,
        initial=node.INITIAL_BETA,
        decay=node.DECAY,
        period=node.PERIOD,
        minimum=node.MIN_BETA,
    )

    def loss(pred_deltas: Tensor, target_deltas: Tensor) -> Tensor:
        iteration = get_event_storage().iter
        return losses.smooth_l1_loss(pred_deltas, target_deltas, beta=beta(iteration))

    return BoxLoss(loss)


@BOX_LOSS_REGISTRY.register()
def balanced_l1(cfg: CfgNode, site: Site) -> BoxLoss:
    """Balanced L1 distance of the deltas.

    Pang et al., CVPR 2019, https://arxiv.org/abs/1904.02701
    """
    node = get_key(cfg, f"{site.box_loss}.BALANCED_L1")
    loss = partial(losses.balanced_l1_loss, alpha=node.ALPHA, gamma=node.GAMMA, beta=node.BETA)
    return BoxLoss(loss)


@BOX_LOSS_REGISTRY.register()
def asl1(cfg: CfgNode, site: Site) -> BoxLoss:
    """Authentic smooth L1 distance of the deltas.

    Li et al., AAAI 2019, https://arxiv.org/abs/1811.05181
    """
    return BoxLoss(partial(losses.asl1_loss, mu=get_key(cfg, f"{site.box_loss}.ASL1.MU")))


@BOX_LOSS_REGISTRY.register()
def ghm_r(cfg: CfgNode, site: Site) -> BoxLoss:
    """Authentic smooth L1 distance of the deltas, harmonised by gradient norm.

    Li et al., AAAI 2019, https://arxiv.org/abs/1811.05181
    """
    node = get_key(cfg, f"{site.box_loss}.GHM_R")
    harmonised = losses.GHMRLoss(node.MU, node.BINS, node.MOMENTUM, correct_bias=node.CORRECT_BIAS)
    by_level = read_by_level(cfg, site, f"{site.box_loss}.GHM_R")
    return BoxLoss(harmonised, is_normalized=True, by_level=by_level)


@BOX_LOSS_REGISTRY.register()
def giou(cfg: CfgNode, site: Site) -> BoxLoss:
    """1 - GIoU of the decoded boxes.

    Rezatofighi et al., CVPR 2019, https://arxiv.org/abs/1902.09630
    """
    return BoxLoss(losses.giou_loss, compares="boxes")


@BOX_LOSS_REGISTRY.register()
def diou(cfg: CfgNode, site: Site) -> BoxLoss:
    """DIoU loss of the decoded boxes.

    Zheng et al., AAAI 2020, https://arxiv.org/abs/1911.08287
    """
    return BoxLoss(losses.diou_loss, compares="boxes")


@BOX_LOSS_REGISTRY.register()
def ciou(cfg: CfgNode, site: Site) -> BoxLoss:
    """CIoU loss of the decoded boxes.

    Zheng et al., AAAI 2020, https://arxiv.org/abs/1911.08287
    """
    return BoxLoss(losses.ciou_loss, compares="boxes")
