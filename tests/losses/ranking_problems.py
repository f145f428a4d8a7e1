"""Problems for ranking losses, and the losses in one form."""

import pytest
import torch

from imbdet.losses import alrp_loss, ap_loss, auc_loss, rank_sort_loss

DELTAS = [0.0, 0.25, 0.5, 1.0, 2.0]
KINDS = ["random", "quantised", "constant", "extreme"]
# Beyond half precision.
WIDE_KINDS = [*KINDS, "far"]

# Each loss as a function of logits, labels and the positives' quality that returns scalars.
LOSSES = {
    "ap": lambda x, y, q, **kwargs: (ap_loss(x, y, **kwargs),),
    "auc": lambda x, y, q, **kwargs: (auc_loss(x, y, **kwargs),),
    "alrp": alrp_loss,
    "rank_sort": rank_sort_loss,
}
ALL_LOSSES = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


def random_problem(num_rows, num_classes, seed, kind):
    """Logits (M, K) in float64, labels, and quality of the positives."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(num_rows, num_classes, generator=generator, dtype=torch.float64)
    if kind == "quantised":
        logits = (logits * 2).round() / 2
    elif kind == "constant":
        logits = torch.full_like(logits, -4.6)
    elif kind == "extreme":
        logits = 100 * logits.sign()
    elif kind == "far":  # some of them equal, and far from others
        scales = torch.tensor([1.0, 1e12, 1e20, 1e38], dtype=torch.float64)
        drawn = torch.randint(0, 8, logits.shape, generator=generator)
        logits = torch.where(drawn < 4, scales[drawn % 4] * logits.sign(), logits)
    labels = torch.randint(-1, num_classes + 1, (num_rows,), generator=generator)
    num_positives = ((labels >= 0) & (labels < num_classes)).sum()
    quality = (torch.rand(num_positives, generator=generator, dtype=torch.float64) * 8).round() / 8
    return logits.requires_grad_(), labels, quality.requires_grad_()


def split(logits, labels):
    """Masks of the positive and of the negative entries."""
    is_positive = torch.zeros(logits.shape, dtype=torch.bool)
    rows = ((labels >= 0) & (labels < logits.shape[1])).nonzero().squeeze(1)
    is_positive[rows, labels[rows]] = True
    return is_positive, ~is_positive & (labels >= 0)[:, None]


def values_and_grads(loss, logits, labels, quality, **kwargs):
    """Values of a loss, stacked, and for each the gradient of the logits, (L, M, K); in float64.

    The gradient is computed a thousandfold, as small numbers vanish in half precision.
    """
    logits = logits.detach().requires_grad_()
    quality = quality.detach().to(torch.promote_types(logits.dtype, torch.float32))
    values = torch.stack(loss(logits, labels, quality, **kwargs))
    grads = [torch.autograd.grad(1e3 * v, logits, retain_graph=True)[0] for v in values]
    return values.detach().double(), torch.stack(grads).double() / 1e3
