"""Box losses by the names that MODEL.BOX_LOSS and MODEL.RPN_LOSS.BOX give them."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from detectron2.config import CfgNode, get_cfg
from detectron2.utils.events import get_event_storage
from torch import Tensor

from imbdet.config_files.keys import get_key
from imbdet.errors import UserError
from imbdet.learning.criteria import BoxLoss
from imbdet.methods import BOX_LOSSES
from imbdet.modeling.registry import lookup, read_options
from imbdet.modeling.site_keys import Site, refuse_levels_of_proposals


class ChosenBoxLoss(NamedTuple):
    """The box loss that the keys of a site choose.

    Attributes:
        name: name of the box loss.
        key: key that gives the name: ours, or detectron2's.
    """

    name: str
    key: str


def chosen_box_loss(cfg: CfgNode, site: Site) -> ChosenBoxLoss:
    """The name of a site's box loss, and the key that gives it.

    Raises:
        UserError: both keys give a name, and the names differ.
    """
    key = f"{site.box_loss}.NAME"
    name, detectron2_name = get_key(cfg, key), get_key(cfg, site.box_reg_loss_type)
    if not name:
        return ChosenBoxLoss(detectron2_name, site.box_reg_loss_type)
    default = get_key(get_cfg(), site.box_reg_loss_type)
    if detectron2_name not in (default, name):
        raise UserError(
            f"{key} is {name!r} and {site.box_reg_loss_type} is {detectron2_name!r}: "
            f"set only one of them."
        )
    return ChosenBoxLoss(name, key)


def build_box_loss(cfg: CfgNode, site: Site) -> BoxLoss:
    """Box loss of a site.

    Raises:
        UserError: the name does not exist or has no meaning here, or an option is out of range.
    """
    name, key = chosen_box_loss(cfg, site)
    method = lookup(BOX_LOSSES, name, key)
    options = read_options(cfg, site, site.box_loss, method)
    by_level = options.get("by_level", False)
    refuse_levels_of_proposals(site, f"{site.box_loss}.{name.upper()}", by_level)
    loss = method.build(**options)
    return BoxLoss(
        partial(_pay_at_iteration, loss) if method.uses_iteration else loss,
        compares=method.compares,
        is_normalized=method.is_normalized,
        takes=method.takes,
        by_level=by_level,
    )


def _pay_at_iteration(loss: Callable[..., Tensor], *args: Tensor) -> Tensor:
    return loss(*args, iteration=get_event_storage().iter)
