"""Two normal distributions in one dimension, fitted to many small sets of numbers at once.

The expectation-maximisation that scikit-learn's ``GaussianMixture`` runs for a single set, with its
constants: https://scikit-learn.org/stable/modules/mixture.html
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

# Added to each variance.
MIN_VARIANCE = 1e-6
# The fit ends where the mean log-likelihood changes by less.
TOLERANCE = 1e-3
MAX_ITERATIONS = 100
# Iterations between two checks whether all fits have ended: each waits for the GPU.
ITERATIONS_UNASKED = 10


class Mixture(NamedTuple):
    """Weights, means and variances of both components of S sets, (S, 2) each."""

    weights: Tensor
    means: Tensor
    variances: Tensor

    def log_densities(self, values: Tensor) -> Tensor:
        """(S, n, 2) ln of weight * density of each component at (S, n) values."""
        weights, means, variances = (parameter[:, None] for parameter in self)
        squares = (values[..., None] - means).square() / variances
        return weights.log() - 0.5 * (squares + variances.log() + math.log(2 * math.pi))


def fit_two_gaussians(values: Tensor, is_valid: Tensor) -> Mixture:
    """Fit from the lowest and the highest value as means, variances of 1 and equal weights.

    Args:
        values: (S, n) float64 values, n >= 1.
        is_valid: (S, n) bool, whether a value belongs to the set.
    """
    lowest = values.masked_fill(~is_valid, torch.inf).amin(dim=1)
    highest = values.masked_fill(~is_valid, -torch.inf).amax(dim=1)
    means = torch.stack([lowest, highest], dim=1)
    mixture = Mixture(torch.full_like(means, 0.5), means, torch.ones_like(means))
    likelihood = torch.full_like(lowest, -torch.inf)
    has_ended = ~is_valid.any(dim=1)
    for iteration in range(MAX_ITERATIONS):
        if iteration % ITERATIONS_UNASKED == 0 and bool(has_ended.all()):
            break
        new, new_likelihood = _step(mixture, values, is_valid)
        mixture = Mixture(
            *(torch.where(has_ended[:, None], *pair) for pair in zip(mixture, new, strict=True))
        )
        has_ended = has_ended | ((new_likelihood - likelihood).abs() < TOLERANCE)
        likelihood = new_likelihood
    return mixture


def _step(mixture: Mixture, values: Tensor, is_valid: Tensor) -> tuple[Mixture, Tensor]:
    """The mixture after an iteration, and the (S,) mean log-likelihood before it."""
    log_densities = mixture.log_densities(values)
    log_density = log_densities.logsumexp(dim=2)
    number = is_valid.sum(dim=1)
    likelihood = log_density.masked_fill(~is_valid, 0).sum(dim=1) / number
    shares = (log_densities - log_density[..., None]).exp() * is_valid[..., None]
    totals = shares.sum(dim=1) + 10 * torch.finfo(values.dtype).eps
    means = (shares * values[..., None]).sum(dim=1) / totals
    squares = (values[..., None] - means[:, None]).square()
    variances = (shares * squares).sum(dim=1) / totals + MIN_VARIANCE
    return Mixture(totals / totals.sum(dim=1, keepdim=True), means, variances), likelihood
