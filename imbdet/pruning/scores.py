"""How much an object matters to a training, by what its ledger says of it: ``imbdet prune --by``.

A objects. Columns are those of the ledger's table of objects, (A,) float64 with NaN for null.
"""

from collections.abc import Callable, Mapping

import numpy as np

Columns = Mapping[str, np.ndarray]


def variance(objects: Columns) -> np.ndarray:
    """How much the losses of an object vary over the training.

    It is the sum of both variances, each divided by its mean over all objects; with a ranking loss,
    that of the box loss alone. An object that varies is neither easy nor hopeless: He et al.,
    "Large-scale Dataset Pruning with Dynamic Uncertainty", 2023, https://arxiv.org/abs/2306.05175,
    for scores of images; Yagi, "Extending Dataset Pruning to Object Detection: A Variance-based
    Approach", 2025, https://arxiv.org/abs/2505.17245, for scores and IoUs of objects.
    """
    parts = [_relative(objects[f"{name}_loss_variance"]) for name in ("cls", "box")]
    known = [part for part in parts if not np.isnan(part).all()] or parts
    total: np.ndarray = np.sum(known, axis=0)
    return total


def forgetting(objects: Columns) -> np.ndarray:
    """How often an object was forgotten; one more than any other if it was never learnt.

    Toneva et al., "An Empirical Study of Example Forgetting during Deep Neural Network Learning",
    ICLR 2019, https://arxiv.org/abs/1812.05159
    """
    events = objects["forgotten"]
    most = events.max(initial=0)
    scores: np.ndarray = np.where(objects["learnt"] > 0, events, most + 1)
    return np.where(objects["judged"] > 0, scores, np.nan)


def error(objects: Columns) -> np.ndarray:
    """How far the scores of an object's class are from 1, on average over its positives.

    It is the entry of the annotated class of the error vector whose norm is EL2N: Paul et al.,
    "Deep Learning on a Data Diet", NeurIPS 2021, https://arxiv.org/abs/2107.07075. They take it
    early in the training, the ledger over all of it.
    """
    return 1 - objects["score_mean"]


def random(objects: Columns) -> np.ndarray:
    """The same score for each object: what is kept is drawn at random, as a baseline."""
    return np.zeros_like(objects["judged"])


SCORES: Mapping[str, Callable[[Columns], np.ndarray]] = {
    score.__name__: score for score in (variance, forgetting, error, random)
}


def _relative(values: np.ndarray) -> np.ndarray:
    known = values[~np.isnan(values)]
    mean = known.mean() if len(known) else 0.0
    return values / mean if mean > 0 else values
