"""What a YAML file can name: samplers, weightings, classification losses and box losses."""

from collections.abc import Callable
from typing import Any, NamedTuple

from fvcore.common.registry import Registry
from torch import nn

from imbdet.errors import UserError, suggest

POSITIVE_SAMPLER_REGISTRY = Registry("POSITIVE_SAMPLER")
POSITIVE_SAMPLER_REGISTRY.__doc__ = "Functions (cfg, site) -> PoolSampler of positives."

NEGATIVE_SAMPLER_REGISTRY = Registry("NEGATIVE_SAMPLER")
NEGATIVE_SAMPLER_REGISTRY.__doc__ = "Functions (cfg, site) -> PoolSampler of negatives."

WEIGHTING_REGISTRY = Registry("WEIGHTING")
WEIGHTING_REGISTRY.__doc__ = "Functions (cfg, site) -> imbdet.weighting.Weighting."

CLS_LOSS_REGISTRY = Registry("CLS_LOSS")
CLS_LOSS_REGISTRY.__doc__ = "Functions (cfg, site) -> ClsLoss."

BOX_LOSS_REGISTRY = Registry("BOX_LOSS")
BOX_LOSS_REGISTRY.__doc__ = "Functions (cfg, site) -> imbdet.learning.criteria.BoxLoss."


class ClsLoss(NamedTuple):
    """A classification loss by name.

    Attributes:
        activation: what turns logits into scores: "sigmoid" (K logits) or "softmax" (K + 1).
        criterion: called with the keywords ``box_loss`` and ``scope``, gives what samples pay to,
            an :class:`imbdet.learning.criteria.Criterion`.
        is_pointwise: whether each sample pays for itself. Then ``criterion`` takes all keywords of
            :class:`imbdet.learning.criteria.PointwiseCriterion`.
    """

    activation: str
    criterion: Callable[..., nn.Module]
    is_pointwise: bool = False


def lookup(registry: Registry, name: str, key: str) -> Any:
    """The registered object of a name, or a UserError that names the key and the nearest names."""
    names = [registered for registered, _ in registry]
    if name not in names:
        raise UserError(f"{key} is {name!r}, which does not exist. {suggest(name, names)}")
    return registry.get(name)
