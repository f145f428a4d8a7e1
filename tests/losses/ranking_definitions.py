"""The ranking losses as slow loops over pairs, straight from their definitions, in float64.

Each takes flat lists of positive scores p and negative scores n, their weights v and u, one number
for all or a list, and returns its value(s) and the gradient of the positives and of the negatives
of each value.
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


def weights_of(scores, weights):
    return np.broadcast_to(weights, len(scores))


def ap(p, n, delta, interpolated, v=1.0, u=1.0):
    v = weights_of(p, v)
    above, false_positives = v * without_self(pairs(p, p, delta)), u * pairs(n, p, delta)
    rank_pos = v + above.sum(1)
    rank = rank_pos + false_positives.sum(1)
    precision = rank_pos / rank
    used, share = precision.copy(), np.ones(len(p))
    if interpolated:
        for i in range(len(p)):
            used[i] = precision[p <= p[i]].max()
            share[i] = 1.0 if used[i] <= precision[i] else (1 - used[i]) / (1 - precision[i])
    pos_grads = -v * (1 - used) / v.sum()
    neg_grads = v @ (share[:, None] * false_positives / rank[:, None]) / v.sum()
    return v @ (1 - used) / v.sum(), pos_grads, neg_grads


def auc(p, n, delta, v=1.0, u=1.0):
    v, u = weights_of(p, v), weights_of(n, u)
    wrong = v[:, None] * u * pairs(n, p, delta) / (v.sum() * (u.sum() if len(n) else 1))
    return wrong.sum(), -wrong.sum(1), wrong.sum(0)


def alrp(p, n, delta, e, v=1.0, u=1.0):
    v = weights_of(p, v)
    above, false_positives = v * without_self(pairs(p, p, delta)), u * pairs(n, p, delta)
    total = false_positives.sum(1)
    rank = v + above.sum(1) + total
    pos_grads, neg_grads = np.zeros(len(p)), np.zeros(len(n))
    for i in range(len(p)):
        if total[i] > 1e-5 * v[i]:
            error = (total[i] + above[i] @ e) / rank[i]
            pos_grads[i] -= v[i] * error
            neg_grads += v[i] * error * false_positives[i] / total[i]
    size = v.sum()
    localisation = v @ ((v * e + above @ e) / rank) / size
    loc_grads = (v * v / rank + above.T @ (v / rank)) / size
    return v @ (total / rank) / size, pos_grads / size, neg_grads / size, localisation, loc_grads


def rank_sort(p, n, delta, q, v=1.0, u=1.0):
    v = weights_of(p, v)
    above, false_positives = v * pairs(p, p, delta), u * pairs(n, p, delta)
    total = false_positives.sum(1)
    ranking = total / (above.sum(1) + total)
    pos_rank, neg_rank = -v * ranking, np.zeros(len(n))
    pos_sort, sorting = np.zeros(len(p)), np.zeros(len(p))
    for i in range(len(p)):
        if total[i] > 0:
            neg_rank += v[i] * ranking[i] * false_positives[i] / total[i]
        lower = q < q[i]
        wrong = above[i, lower].sum()
        if wrong > 0:
            current = above[i] @ (1 - q) / above[i].sum()
            target = above[i, ~lower] @ (1 - q[~lower]) / above[i, ~lower].sum()
            sorting[i] = current - target
            pos_sort[i] -= v[i] * sorting[i]
            pos_sort[lower] += v[i] * sorting[i] * above[i, lower] / wrong
    size = v.sum()
    return (
        (v @ ranking / size, pos_rank / size, neg_rank / size),
        (v @ sorting / size, pos_sort / size),
    )
