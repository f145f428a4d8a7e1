"""How far the annotated class of each object is in doubt, by what a training said instead."""

import torch
from torch import Tensor

from imbdet.ops.sums import sum_by


def doubts_of_classes(judged: Tensor, lead: Tensor, classes: Tensor, *, min_judged: int) -> Tensor:
    """By how much more often than others of its class an object is said to be another one.

    Of an object that was judged ``n`` times and said to be one other class at ``v`` of these, at
    least, ``d = v / n``. Its doubt is ``max(0, d - m)``, where ``m`` is the mean of ``d`` over the
    objects of its annotated class: a detector that confuses a whole class, as it does with rare
    ones, says nothing against a single object. A class of one object has no doubt.

    That labels are judged by the habits of their class is the idea of confident learning: Northcutt
    et al., "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021,
    https://arxiv.org/abs/1911.00068, which has thresholds of classes for it.

    Args:
        judged: (A,) n, of each object; "judged" of the ledger.
        lead: (A,) v, at most n; "wrong_lead" of the ledger.
        classes: (A,) the annotated classes, from 0.
        min_judged: objects that were judged less often have no doubt, nor do they count in ``m``.

    Returns:
        (A,) float64 in [0, 1].
    """
    is_known = judged >= max(min_judged, 1)
    shares = (lead.double() / judged.clamp(min=1)).where(is_known, 0.0)
    classes = classes.long()
    num_classes = int(classes.max()) + 1 if len(classes) else 0
    sums, numbers = (sum_by(classes, values, num_classes) for values in (shares, is_known))
    means = sums / numbers.clamp(min=1)
    return (shares - means[classes]).clamp(min=0).where(is_known, torch.zeros_like(shares))
