"""Softmax cross-entropy with logits that are raised by how frequent their classes are.

Menon et al., "Long-tail learning via logit adjustment", ICLR 2021,
https://arxiv.org/abs/2007.07314
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from imbdet.losses.class_cross_entropy import check_class_numbers, used_logits
from imbdet.losses.reduction import reduce_losses
from imbdet.methods import CLS_LOSSES
from imbdet.methods.options import NonNegative, Positive, checked
from imbdet.ops.labels import check_labels


@checked
def logit_adjusted_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    priors: Tensor,
    *,
    tau: NonNegative = 1.0,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """Cross-entropy of the softmax of x + tau ln(prior).

    In training the prior gives frequent classes their advantage, so that the plain logits, which
    make the scores, treat all classes alike. With running scores of the classes as priors, this is
    the equilibrium loss of LOCE (Feng et al., ICCV 2021, https://arxiv.org/abs/2108.07507).

    Args:
        pred_logits: (M, K + 1) logits, the background last.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        priors: (K + 1,) numbers or shares of the samples of each class and the background; a factor
            common to all changes nothing. Priors below the smallest normal float32, such as 0,
            count as that.
        tau: exponent of the priors; 0 is plain cross-entropy.
        weights: (M,) factors of the samples, or None.
        reduction: "none" or "sum".

    Returns:
        (M,) losses, 0 for ignored samples; or their sum.

    Raises:
        ValueError: the shapes differ, or a prior is negative.
    """
    check_labels(pred_logits, gt_labels, num_classes=pred_logits.shape[-1] - 1)
    check_class_numbers("priors", priors, pred_logits.shape[1])
    logits = used_logits(pred_logits, gt_labels)
    log_priors = priors.to(logits).clamp(min=torch.finfo(torch.float32).tiny).log()
    adjusted = logits + tau * log_priors  # eq. 10
    losses = F.cross_entropy(adjusted, gt_labels, ignore_index=-1, reduction="none")
    return reduce_losses(losses, weights, reduction)


@CLS_LOSSES.register(
    "logit_adjustment",
    "Softmax cross-entropy with logits that are raised by how frequent their classes are.",
    "Menon et al., ICLR 2021, https://arxiv.org/abs/2007.07314",
    activation="softmax",
    balances_classes=True,
    numbers="instances",
)
def frequency_adjusted_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    instances: Tensor,
    *,
    tau: NonNegative = 1.0,
    background_ratio: Positive = 3.0,
) -> Tensor:
    """:func:`logit_adjusted_loss` with the numbers of objects as priors.

    Args:
        pred_logits: (M, K + 1) logits, the background last.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        instances: (K,) number of training objects of each class; below 1 counts as 1.
        tau: exponent of the priors; 0 is plain cross-entropy.
        background_ratio: samples of the background for each sample of a class: 3 is the aim of a
            sampler with a quota of 1/4 of positives.

    Returns:
        (M,) losses, 0 for ignored samples.
    """
    counts = instances.clamp(min=1)
    priors = torch.cat([counts, background_ratio * counts.sum(dim=0, keepdim=True)])
    return logit_adjusted_loss(pred_logits, gt_labels, priors, tau=tau)
