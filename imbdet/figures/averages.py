"""Means, also of nothing."""

import numpy as np


def mean(total: float, count: float) -> float:
    """A mean that is NaN, rather than an error, of nothing."""
    return total / count if count else float("nan")


def ratio(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means as :func:`mean`, of arrays of one shape."""
    return np.divide(values, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
