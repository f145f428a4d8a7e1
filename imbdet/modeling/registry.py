"""What a YAML file can name: samplers, classification losses and box losses."""

from collections.abc import Callable
from typing import Any, NamedTuple

from fvcore.common.registry import Registry
from torch import Tensor

from imbdet.errors import UserError, suggest
from imbdet.structures import Positives

SAMPLER_REGISTRY = Registry("SAMPLER")
SAMPLER_REGISTRY.__doc__ = "Functions (cfg, site) -> PoolSampler."

CLS_LOSS_REGISTRY = Registry("CLS_LOSS")
CLS_LOSS_REGISTRY.__doc__ = "Functions (cfg, site) -> ClsLoss."

BOX_LOSS_REGISTRY = Registry("BOX_LOSS")
BOX_LOSS_REGISTRY.__doc__ = "Functions (cfg, site) -> BoxLoss."

# The positives of a batch to their (P,) losses.
BoxLoss = Callable[[Positives], Tensor]


class ClsLoss(NamedTuple):
    """A classification loss and the activation that turns its logits into scores.

    Attributes:
        function: (M, C) logits and (M,) labels to (M,) losses, or to a scalar if it is a ranking.
        activation: "sigmoid" (C = K) or "softmax" (C = K + 1).
        is_ranking: whether the samples are compared with each other.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    activation: str
    is_ranking: bool = False


def lookup(registry: Registry, name: str, key: str) -> Any:
    """The registered object of a name, or a UserError that names the key and the nearest names."""
    names = [registered for registered, _ in registry]
    if name not in names:
        raise UserError(f"{key} is {name!r}, which does not exist. {suggest(name, names)}")
    return registry.get(name)
