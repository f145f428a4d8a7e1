"""How far the annotated class of each object is in doubt, by what a training said instead."""

from collections.abc import Sequence

import numpy as np

# Doubt from which on it is reported to users; it is not tuned.
DOUBTFUL = 0.3


def rival_parts(judged: np.ndarray, rival: np.ndarray) -> np.ndarray:
    """Part of the scores that another class had, over all sights of each object.

    At a sight, let ``p`` be the score of the annotated class and ``p'`` the highest of another one.
    The rival's part of both is ``p' / (p + p')``: above 1/2 where another class is said, and as far
    above as it is preferred. Of softmax scores it is ``1 / (1 + exp(M))``, where ``M`` is the
    margin of Pleiss et al., "Identifying Mislabeled Data using the Area Under the Margin Ranking",
    NeurIPS 2020, https://arxiv.org/abs/2001.10528, eq. 1. Like theirs (eq. 2) it is averaged over
    all sights of a training; being bounded, the large margins of the sights after a label is known
    by heart do not outweigh the sights before.

    With the mean part ``r`` of ``n`` judged sights this is ``r n / (n + 1)``, as if one more sight
    had spoken for the annotation, since few sights say little.

    Args:
        judged: (A,) ``n``, number of judged sights of each object; "judged" of the ledger.
        rival: (A,) ``r`` in [0, 1]; "rival_mean" of the ledger, with any value where ``n`` is 0.

    Returns:
        (A,) float64 in [0, 1); 0 of objects that were never judged.
    """
    parts: np.ndarray = np.where(judged > 0, rival, 0.0) * judged / (judged + 1)
    return parts


def doubts_of_classes(judged: np.ndarray, rival: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """How much more than others of its class each object was said to be of another class.

    With ``d`` of :func:`rival_parts` the doubt is ``max(0, d - m)``, where ``m`` is the mean of
    ``d`` over the judged objects of the annotated class: a detector that takes a whole class for
    another, as it does with rare ones, says nothing against a single object. The only object of a
    class has no doubt. Judging labels relative to their class is the idea of confident learning:
    Northcutt et al., "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 2021,
    https://arxiv.org/abs/1911.00068, which has a threshold for each class.

    Args:
        judged: (A,) see :func:`rival_parts`.
        rival: (A,) see :func:`rival_parts`.
        classes: (A,) the annotated classes, from 0.

    Returns:
        (A,) float64 in [0, 1); 0 of objects that were never judged.
    """
    is_known, parts = judged > 0, rival_parts(judged, rival)
    numbers = np.bincount(classes, weights=is_known)
    means = np.bincount(classes, weights=parts) / np.maximum(numbers, 1)
    return np.where(is_known, np.maximum(parts - means[classes], 0.0), 0.0)


def confused_classes(judged: np.ndarray, rival: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Classes most of whose objects were said to be of another class.

    The detector has not learnt such a class, or its annotations are wrong as a whole.

    Args:
        judged: (A,) see :func:`rival_parts`.
        rival: (A,) see :func:`rival_parts`.
        classes: (A,) the annotated classes, from 0.

    Returns:
        Their numbers, ascending: they have at least two judged objects, and in more than half of
        these the mean of the rival's part over the sights is above 1/2.
    """
    is_judged = judged > 0
    numbers = np.bincount(classes[is_judged])
    others = np.bincount(classes[is_judged & (rival > 0.5)], minlength=len(numbers))
    found: np.ndarray = np.flatnonzero((numbers > 1) & (2 * others > numbers))
    return found


def describe_confused(names: Sequence[str]) -> str:
    """A warning about the classes that :func:`confused_classes` found, by name."""
    listed = ", ".join(f"'{name}'" for name in names)
    return (
        f"Most objects annotated as {listed} were said to be of another class, so that the "
        "detector has hardly learnt what they are, and their suspects of a wrong class say little: "
        "train for longer, or with more of them."
    )
