"""The ranking of rules, and which are ahead of the first one by more than chance explains.

Other training images and other validation images would have other gradients. How far the alignment
varies is estimated by leaving out each group of either in turn (Kott, "The Delete-a-Group
Jackknife", Journal of Official Statistics 17, 2001). The two are independent, so that the
half-width of an interval is the root of the sum of the squares of those of their t intervals (Howe,
"Approximate Confidence Limits on the Mean of X + Y Where X and Y Are Two Tabled Independent Random
Variables", Journal of the American Statistical Association 69, 1974). All rules have the same
groups, so that differences are paired.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from imbdet.alignment.alignments import alignments
from imbdet.figures.estimates import CONFIDENCE, Estimate, t_reach
from imbdet.forecast.gradients import ALL

# Rounding error of the cosine of two float32 gradients: a smaller difference is none.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Forecast:
    """The forecast of a rule. Alignments are in [-1, 1], means over the validation losses.

    Attributes:
        rule: name of the rule.
        alignment: alignment with the gradient of all objects; NaN if the rule has no gradient.
        difference: alignment minus that of the first rule; None for the first rule itself.
        by_loss: alignment with the gradient of each validation loss.
        by_size: alignment with the gradient of the objects of each size; NaN without any.
        by_class: alignment of the part of the layer that belongs to each class.
    """

    rule: str
    alignment: Estimate
    difference: Estimate | None
    by_loss: Mapping[str, Estimate]
    by_size: Mapping[str, float]
    by_class: Mapping[str, float]

    @property
    def verdict(self) -> str:
        """Beside the first rule, "better", "worse" or "undecided"; "" for the first rule itself."""
        return "" if self.difference is None else self.difference.verdict


def rank_rules(
    updates: Mapping[str, Tensor],
    targets: Mapping[str, Mapping[str, Tensor]],
    classes: Mapping[int, str],
) -> list[Forecast]:
    """The rules by their alignment, the highest first.

    The intervals of the differences to the first rule hold together: all of them contain the true
    difference with :data:`CONFIDENCE`, by Bonferroni's inequality.

    Args:
        updates: (U, C, Q) gradients by rule; see
            :func:`imbdet.forecast.gradients.update_gradients`.
        targets: (V, C, Q) gradients by validation loss and part; see
            :func:`imbdet.forecast.gradients.validation_gradients`.
        classes: names of the classes of the validation images, by column of logits.
    """
    num_groups = len(next(iter(updates.values())))
    baseline = next(iter(updates))
    confidence = 1 - (1 - CONFIDENCE) / max(len(updates) - 1, 1)
    found: dict[str, dict[str, np.ndarray]] = {
        rule: {
            loss: alignments(update, parts[ALL]).cpu().numpy() for loss, parts in targets.items()
        }
        for rule, update in updates.items()
    }
    means = {rule: np.mean(list(values.values()), axis=0) for rule, values in found.items()}
    rows = []
    for rule, values in found.items():
        of_layer = means[rule][:, 0]
        difference = None
        if rule != baseline:
            difference = estimate(of_layer - means[baseline][:, 0], num_groups, confidence)
        rows.append(
            Forecast(
                rule,
                estimate(of_layer, num_groups),
                difference,
                {loss: estimate(one[:, 0], num_groups) for loss, one in values.items()},
                _by_size(updates[rule], targets),
                {name: float(means[rule][0, 1 + column]) for column, name in classes.items()},
            )
        )
    return sorted(rows, key=lambda row: -np.nan_to_num(row.alignment.value, nan=-np.inf))


def estimate(values: np.ndarray, num_groups: int, confidence: float = CONFIDENCE) -> Estimate:
    """A value and its interval.

    Args:
        values: (1 + U + V,) values by all images, then without each group of training images, then
            without each group of validation images.
        num_groups: number U of groups of training images.
        confidence: probability that the interval contains the true value, in (0, 1).
    """
    reaches = []
    for replicates in (values[1 : 1 + num_groups], values[1 + num_groups :]):
        freedom = len(replicates) - 1
        reaches.append(t_reach(float(freedom * replicates.var()), freedom, confidence))
    value, reach = float(values[0]), math.hypot(*reaches, _ROUNDING)
    return Estimate(value, value - reach, value + reach)


def _by_size(update: Tensor, targets: Mapping[str, Mapping[str, Tensor]]) -> dict[str, float]:
    sizes = [part for part in next(iter(targets.values())) if part != ALL]
    return {
        size: float(np.mean([alignments(update, of[size])[0, 0].cpu() for of in targets.values()]))
        for size in sizes
    }
