"""Means that are NaN where there is nothing to average."""

import numpy as np


def mean(total: float, count: float) -> float:
    """The mean of ``count`` values whose sum is ``total``; NaN of none."""
    return total / count if count else float("nan")


def ratio(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The means as by :func:`mean`, for arrays of one shape."""
    return np.divide(values, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
