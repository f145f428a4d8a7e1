"""Federated loss: a batch has losses of its own classes, and of some others drawn at random.

In a data set such as LVIS each image is annotated for a part of the classes; whether it has objects
of the others is not known.

Zhou et al., "Probabilistic two-stage detection", 2021, https://arxiv.org/abs/2103.07461
"""

import torch
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.nn import functional as F

from imbdet.losses.class_cross_entropy import check_class_numbers, weighted_sigmoid_cross_entropy
from imbdet.losses.reduction import reduce_losses
from imbdet.methods import CLS_LOSSES
from imbdet.methods.options import Count, NonNegative, checked
from imbdet.ops.exchange import total
from imbdet.ops.labels import check_labels
from imbdet.ops.precision import at_least_float32


@CLS_LOSSES.register(
    "federated",
    "Sigmoid cross-entropy of the classes of the batch and of some drawn at random.",
    "Zhou et al., 2021, https://arxiv.org/abs/2103.07461",
    takes=("group", "generator"),
    balances_classes=True,
    numbers="images",
)
def drawn_federated_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    images: Tensor,
    *,
    num_classes: Count = 50,
    power: NonNegative = 0.5,
    group: ProcessGroup | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """:func:`federated_loss` of the classes that :func:`draw_federated_classes` returns.

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        images: (K,) number of training images with the class.
        num_classes: number of classes to take, those of the batch first, of which the background
            counts as one.
        power: exponent of the number of images; a class is drawn in proportion to the result.
        group: processes whose batches are one, all with the same generator; None is this one alone.
        generator: generator on the device of the labels; None is torch's.

    Returns:
        (M,) losses, 0 for ignored samples. The published code divides their sum by M.
    """
    check_labels(pred_logits, gt_labels)
    num_samples = gt_labels[gt_labels >= 0].bincount(minlength=pred_logits.shape[1] + 1)
    classes = draw_federated_classes(
        total(num_samples, group).nonzero().squeeze(1),
        images.to(torch.float32) ** power,
        num_classes=num_classes,
        generator=generator,
    )
    return federated_loss(pred_logits, gt_labels, classes)


def federated_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    classes: Tensor,
    *,
    weights: Tensor | None = None,
    reduction: str = "none",
) -> Tensor:
    """Sigmoid cross-entropy, summed over some of the classes.

    Args:
        pred_logits: (M, K) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        classes: int64 in [0, K), such as those of :func:`draw_federated_classes`. Other classes
            have no losses, not even of their own samples.
        weights: (M,) factors of the samples, or None.
        reduction: "none" or "sum"; the published code divides the sum by the number of samples.

    Returns:
        (M,) losses, 0 for ignored samples; or their sum.
    """
    check_labels(pred_logits, gt_labels)
    is_used = torch.zeros(pred_logits.shape[1], dtype=torch.bool, device=pred_logits.device)
    is_used[classes] = True
    losses = weighted_sigmoid_cross_entropy(pred_logits, gt_labels, is_used, is_used)
    return reduce_losses(losses, weights, reduction)


@checked
def draw_federated_classes(
    gt_labels: Tensor,
    class_weights: Tensor,
    *,
    num_classes: Count = 50,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The classes of a batch, and others drawn by their weights without replacement.

    As published, the background counts as one of the classes of a batch that has it; if the batch
    alone has more classes than ``num_classes``, all of its own are taken and no others.

    Args:
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        class_weights: (K,) weights >= 0; published: the square root of the number of images with
            the class. A class of weight 0 is never drawn.
        num_classes: number of classes to take.
        generator: generator on the device of the weights; None is torch's.

    Returns:
        int64 classes in [0, K), without the background: the batch's, ascending, then the drawn.

    Raises:
        ValueError: a weight is negative or not finite.
    """
    check_class_numbers("class_weights", class_weights, class_weights.numel())
    if not bool(class_weights.isfinite().all()):
        raise ValueError("class_weights must be finite")
    own: Tensor = gt_labels[gt_labels >= 0].unique().to(class_weights.device)
    # The background has an entry as in the published code, so that the same seed draws the same.
    weights = F.pad(at_least_float32(class_weights), (0, 1))
    weights[own] = 0
    num_drawn = min(num_classes - len(own), int((weights > 0).sum()))
    if num_drawn > 0:
        own = torch.cat([own, weights.multinomial(num_drawn, generator=generator)])
    return own[own < len(class_weights)]
