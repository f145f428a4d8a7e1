"""Classification losses by the names that MODEL.CLS_LOSS and MODEL.RPN_LOSS.CLS give them."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from detectron2.config import CfgNode
from torch import Tensor, nn

from imbdet.errors import UserError
from imbdet.learning.criteria import PointwiseCriterion, RankingCriterion, SampleLoss
from imbdet.losses import FrequencyLoss
from imbdet.methods import CLS_LOSSES, ClsLossMethod
from imbdet.modeling.box_losses import chosen_box_loss
from imbdet.modeling.registry import lookup, read_options
from imbdet.modeling.site_keys import (
    Site,
    cls_loss_name,
    num_classes_of,
    refuse_levels_of_proposals,
)
from imbdet.structures.classifiers import CLASSIFIERS, SIGMOID, Classifier


class ClsLoss(NamedTuple):
    """A classification loss by name.

    Attributes:
        classifier: meaning of its logits.
        criterion: function of the keywords ``box_loss`` and ``scope`` that returns an
            :class:`imbdet.learning.criteria.Criterion`.
        is_criterion: whether it is a criterion of its own.
        is_pointwise: whether each sample has a loss of its own. Then ``criterion`` takes all
            keywords of :class:`imbdet.learning.criteria.PointwiseCriterion`.
    """

    classifier: Classifier
    criterion: Callable[..., nn.Module]
    is_criterion: bool
    is_pointwise: bool


def cls_loss_method(cfg: CfgNode, site: Site) -> ClsLossMethod:
    """The declaration of the classification loss of a site.

    Raises:
        UserError: the loss does not exist.
    """
    return lookup(CLS_LOSSES, cls_loss_name(cfg, site), f"{site.cls_loss}.NAME")


def build_cls_loss(cfg: CfgNode, site: Site) -> ClsLoss:
    """Classification loss of a site.

    Raises:
        UserError: the name does not exist or has no meaning here, or an option is out of range.
    """
    method = cls_loss_method(cfg, site)
    _refuse_without_meaning(cfg, site, method)
    options = read_options(cfg, site, site.cls_loss, method)
    if method.is_criterion:
        criterion = partial(method.call, **options)
        return ClsLoss(SIGMOID, criterion, is_criterion=True, is_pointwise=not method.ranks)
    if method.ranks:
        criterion = partial(RankingCriterion, cls_loss=method.build(**options))
        return ClsLoss(SIGMOID, criterion, is_criterion=False, is_pointwise=False)
    by_level = options.get("by_level", False)
    refuse_levels_of_proposals(site, f"{site.cls_loss}.{method.name.upper()}", by_level)
    loss = _build_loss(method, num_classes_of(cfg, site), options)
    # A loss whose scores depend on the training data has a classifier of its own.
    classifier = getattr(loss, "classifier", None) or CLASSIFIERS[method.activation]
    sample_loss = SampleLoss(
        loss,
        classifier=classifier,
        uses_quality=method.uses_quality,
        is_normalized=method.is_normalized,
        takes=method.takes,
        by_level=by_level,
    )
    criterion = partial(PointwiseCriterion, cls_loss=sample_loss)
    return ClsLoss(classifier, criterion, is_criterion=False, is_pointwise=True)


def _refuse_without_meaning(cfg: CfgNode, site: Site, method: ClsLossMethod) -> None:
    """Raise UserError if a loss does not go with the site or with its box loss."""
    what = f"{site.cls_loss}.NAME is {method.name!r}"
    if not site.takes_activation(method.activation):
        raise UserError(
            f"{what}, whose scores are made with {method.activation}, but those of {site.module} "
            "are made with sigmoid."
        )
    if method.balances_classes and not site.num_classes:
        raise UserError(
            f"{what}, which treats classes by how frequent they are, but {site.module} only tells "
            "objects from background: choose another one."
        )
    chosen = chosen_box_loss(cfg, site)
    if method.box_loss not in ("", chosen.name):
        raise UserError(
            f"{what}, which ranks by a bounded localisation error, but {chosen.key} is "
            f"{chosen.name!r}: set {site.box_loss}.NAME to {method.box_loss!r}."
        )


def _build_loss(
    method: ClsLossMethod, num_classes: int, options: dict[str, Any]
) -> Callable[..., Tensor]:
    if method.numbers:
        return FrequencyLoss(method.build(**options), method.numbers, num_classes)
    if method.balances_classes:
        return method.build(num_classes=num_classes, **options)
    return method.build(**options)
