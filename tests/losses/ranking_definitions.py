"""The ranking losses as slow loops over pairs, straight from their definitions, in float64.

Each takes flat lists of positive scores p and negative scores n, and returns its value(s) and the
gradient of the positives and of the negatives of each value.
"""

import numpy as np


def step(x, delta):
    if delta == 0:
        return 1.0 if x >= 0 else 0.0
    return min(max(x / (2 * delta) + 0.5, 0.0), 1.0)


def pairs(scores, p, delta):
    """(P, len(scores)) H(s_j - p_i)."""
    return np.array([[step(s - x, delta) for s in scores] for x in p]).reshape(len(p), len(scores))


def without_self(h):
    return h * (1 - np.eye(len(h)))


def ap(p, n, delta, interpolated):
    above, false_positives = without_self(pairs(p, p, delta)), pairs(n, p, delta)
    rank_pos = 1 + above.sum(1)
    rank = rank_pos + false_positives.sum(1)
    precision = rank_pos / rank
    used, share = precision.copy(), np.ones(len(p))
    if interpolated:
        highest = 0.0
        for i in np.argsort(p, kind="stable"):
            highest = max(highest, precision[i])
            used[i] = highest
            share[i] = 1.0 if highest <= precision[i] else (1 - highest) / (1 - precision[i])
    pos_grads = -(1 - used) / len(p)
    neg_grads = (share[:, None] * false_positives / rank[:, None]).sum(0) / len(p)
    return 1 - used.mean(), pos_grads, neg_grads


def auc(p, n, delta):
    wrong = pairs(n, p, delta) / (len(p) * max(len(n), 1))
    return wrong.sum(), -wrong.sum(1), wrong.sum(0)


def alrp(p, n, delta, e):
    above, false_positives = without_self(pairs(p, p, delta)), pairs(n, p, delta)
    total = false_positives.sum(1)
    rank = 1 + above.sum(1) + total
    pos_grads, neg_grads = np.zeros(len(p)), np.zeros(len(n))
    for i in range(len(p)):
        if total[i] > 1e-5:
            error = (total[i] + above[i] @ e) / rank[i]
            pos_grads[i] -= error
            neg_grads += error * false_positives[i] / total[i]
    localisation = np.mean((e + above @ e) / rank)
    loc_grads = (1 / rank + above.T @ (1 / rank)) / len(p)
    value = np.mean(total / rank)
    return value, pos_grads / len(p), neg_grads / len(p), localisation, loc_grads


def rank_sort(p, n, delta, q):
    above, false_positives = pairs(p, p, delta), pairs(n, p, delta)
    total = false_positives.sum(1)
    ranking = total / (above.sum(1) + total)
    pos_rank, neg_rank = -ranking, np.zeros(len(n))
    pos_sort, sorting = np.zeros(len(p)), np.zeros(len(p))
    for i in range(len(p)):
        if total[i] > 0:
            neg_rank += ranking[i] * false_positives[i] / total[i]
        lower = q < q[i]
        wrong = above[i, lower].sum()
        if wrong > 0:
            current = above[i] @ (1 - q) / above[i].sum()
            target = above[i, ~lower] @ (1 - q[~lower]) / above[i, ~lower].sum()
            sorting[i] = current - target
            pos_sort[i] -= sorting[i]
            pos_sort[lower] += sorting[i] * above[i, lower] / wrong
    size = len(p)
    return (ranking.mean(), pos_rank / size, neg_rank / size), (sorting.mean(), pos_sort / size)
