"""Classification losses by the names that MODEL.CLS_LOSS and MODEL.RPN_LOSS.CLS give them."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from detectron2.config import CfgNode
from torch import nn

from imbdet.classifiers import CLASSIFIERS, Classifier
from imbdet.errors import UserError
from imbdet.learning.criteria import PointwiseCriterion, RankingCriterion, SampleLoss
from imbdet.methods import CLS_LOSSES
from imbdet.modeling.box_losses import box_loss_key
from imbdet.modeling.registry import lookup, read_options
from imbdet.modeling.site_keys import Site, cls_loss_name, refuse_levels_of_proposals


class ClsLoss(NamedTuple):
    """A classification loss by name.

    Attributes:
        classifier: what its logits mean.
        criterion: called with the keywords ``box_loss`` and ``scope``, gives what samples pay to,
            an :class:`imbdet.learning.criteria.Criterion`.
        is_criterion: whether it is a criterion of its own.
        is_pointwise: whether each sample pays for itself. Then ``criterion`` takes all keywords of
            :class:`imbdet.learning.criteria.PointwiseCriterion`.
    """

    classifier: Classifier
    criterion: Callable[..., nn.Module]
    is_criterion: bool
    is_pointwise: bool


def build_cls_loss(cfg: CfgNode, site: Site) -> ClsLoss:
    """Classification loss of a site.

    Raises:
        UserError: it does not exist or has no meaning here, or an option is out of range.
    """
    key, name = f"{site.cls_loss}.NAME", cls_loss_name(cfg, site)
    method = lookup(CLS_LOSSES, name, key)
    if method.activation not in site.activations:
        raise UserError(
            f"{key} is {name!r}, a {method.activation} loss, but the scores of {site.module} "
            f"are made with {' or '.join(site.activations)}."
        )
    box_name, box_key = box_loss_key(cfg, site)
    if method.box_loss not in ("", box_name):
        raise UserError(
            f"{key} {name!r} ranks by a bounded localisation error, but {box_key} is "
            f"{box_name!r}: set {site.box_loss}.NAME to {method.box_loss!r}."
        )
    classifier = CLASSIFIERS[method.activation]
    options = read_options(cfg, site, site.cls_loss, method)
    if method.is_criterion:
        criterion = partial(method.call, **options)
    elif method.ranks:
        criterion = partial(RankingCriterion, cls_loss=method.build(**options))
    else:
        by_level = options.get("by_level", False)
        refuse_levels_of_proposals(site, f"{site.cls_loss}.{name.upper()}", by_level)
        sample_loss = SampleLoss(
            method.build(**options),
            classifier=classifier,
            uses_quality=method.uses_quality,
            is_normalized=method.is_normalized,
            by_level=by_level,
        )
        criterion = partial(PointwiseCriterion, cls_loss=sample_loss)
    return ClsLoss(classifier, criterion, method.is_criterion, is_pointwise=not method.ranks)
