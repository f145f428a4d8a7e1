"""Weights of samples in the ranking losses: their definition, and its consequences.

A weight is what a repetition of the sample would be. This holds for negatives, and for positives
wherever a step between equal scores counts as much as the pair of a sample with itself: in AUC and
Rank & Sort always, in AP and aLRP for the hard step, as for delta > 0 the own pair counts 1 and
that of two copies H(0) = 1/2.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.kernels import chunks
from imbdet.losses import alrp_loss, ap_loss, auc_loss, dr_loss, rank_sort_loss
from tests.losses import ranking_definitions as definitions
from tests.losses.ranking_problems import (
    ALL_LOSSES,
    DELTAS,
    KINDS,
    LOSSES,
    random_problem,
    split,
    values_and_grads,
)

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
KINDS_OF_WEIGHTS = ["fractions", "integers", "wide", "of one class"]


def random_weights(labels, seed, kind):
    """Weights (M,) in float64."""
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(len(labels), generator=generator, dtype=torch.float64)
    if kind == "integers":
        return (4 * uniform).floor()
    if kind == "of one class":
        return torch.where(labels == 0, 3.0, 0.0).double()
    return 10 ** (4 * uniform - 2) if kind == "wide" else uniform


@given(
    num_rows=st.integers(0, 30),
    num_classes=st.integers(1, 4),
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(KINDS),
    kind_of_weights=st.sampled_from(KINDS_OF_WEIGHTS),
    delta=st.sampled_from(DELTAS),
    dtype=st.sampled_from(DTYPES),
    chunk_size=st.sampled_from([1, 16, 2**17]),
)
def test_losses_equal_their_definitions(
    num_rows, num_classes, seed, kind, kind_of_weights, delta, dtype, chunk_size
):
    logits, labels, quality = random_problem(num_rows, num_classes, seed, kind)
    weights = random_weights(labels, seed, kind_of_weights)
    logits = logits.detach().to(dtype).requires_grad_()
    is_positive, is_negative = (mask & (weights > 0)[:, None] for mask in split(logits, labels))
    if not is_positive.any():
        return
    is_kept = is_positive.any(dim=1)[split(logits, labels)[0].any(dim=1)]
    p, n = (logits.detach()[mask].double().numpy() for mask in (is_positive, is_negative))
    v, u = (weights[:, None].expand_as(logits)[mask].numpy() for mask in (is_positive, is_negative))
    q = quality.detach()[is_kept].numpy()
    rtol = max(torch.finfo(dtype).eps, 1e-6)

    def check(loss, value, pos_grads, neg_grads):
        (grad,) = torch.autograd.grad(1e3 * loss, logits, retain_graph=True)
        grad = grad.double() / 1e3
        np.testing.assert_allclose(loss.item(), value, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(grad[is_positive], pos_grads, rtol=rtol, atol=1e-7)
        np.testing.assert_allclose(grad[is_negative], neg_grads, rtol=rtol, atol=1e-7)
        assert not grad[(labels < 0) | (weights == 0)].any()

    arguments = {"delta": delta, "weights": weights}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_ENTRIES_CPU", chunk_size)
        for interpolated in (True, False):
            loss = ap_loss(logits, labels, interpolated=interpolated, **arguments)
            check(loss, *definitions.ap(p, n, delta, interpolated, v, u))
        check(auc_loss(logits, labels, **arguments), *definitions.auc(p, n, delta, v, u))
        cls, box = alrp_loss(logits, labels, quality, **arguments)
        *expected, localisation, loc_grads = definitions.alrp(p, n, delta, q, v, u)
        check(cls, *expected)
        np.testing.assert_allclose(box.item(), localisation, rtol=1e-6)
        (grad,) = torch.autograd.grad(box, quality)
        np.testing.assert_allclose(grad[is_kept], loc_grads, rtol=1e-6, atol=1e-7)
        assert not grad[~is_kept].any()
        ranking, sorting = rank_sort_loss(logits, labels, quality, **arguments)
        expected_ranking, expected_sorting = definitions.rank_sort(p, n, delta, q, v, u)
        check(ranking, *expected_ranking)
        check(sorting, *expected_sorting, np.zeros(len(n)))


# All losses, also those that have no pair of a sample with itself.
WITH_DR = {**LOSSES, "dr": lambda x, y, q, delta=None, **kwargs: (dr_loss(x, y, **kwargs),)}
WEIGHTED = pytest.mark.parametrize("loss", WITH_DR.values(), ids=WITH_DR.keys())
IMAGES = pytest.mark.parametrize("num_images", [None, 3])


# More logits of half precision than there are values of it, which are then looked up.
MANY = 22_000


def weighted_problem(num_images, kind="quantised", num_rows=80):
    """Logits, labels, quality of the positives; integer weights; the scope's arguments.

    The rows after the first 200 are background.
    """
    logits, labels, quality = random_problem(num_rows, 3, 0, kind)
    labels[200:] = 3
    quality = quality[: int(((labels >= 0) & (labels < 3)).sum())]
    weights = random_weights(labels, 0, "integers")
    scope = {} if num_images is None else {"image_idxs": torch.arange(num_rows) % num_images}
    return (logits.detach(), labels, quality.detach()), weights, scope


def rows_of(problem, scope, counts):
    """Each row of a problem as often as ``counts`` says."""
    logits, labels, quality = problem
    pos_counts = counts[(labels >= 0) & (labels < logits.shape[1])]
    repeated = {name: idxs.repeat_interleave(counts) for name, idxs in scope.items()}
    return (
        (
            logits.repeat_interleave(counts, dim=0),
            labels.repeat_interleave(counts),
            quality.repeat_interleave(pos_counts),
        ),
        repeated,
    )


def sum_over_copies(grads, counts):
    rows = torch.arange(len(counts)).repeat_interleave(counts)
    return grads.new_zeros(len(grads), len(counts), grads.shape[2]).index_add(1, rows, grads)


@WEIGHTED
@IMAGES
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("delta", [0.0, 1.0])
def test_weights_of_one_change_no_bit(loss, num_images, dtype, delta):
    (logits, labels, quality), weights, scope = weighted_problem(num_images, "random")
    args = logits.to(dtype), labels, quality
    values, grads = values_and_grads(loss, *args, delta=delta, **scope)
    for ones in (torch.ones_like(weights), torch.ones(80, dtype=torch.int64)):
        others, other_grads = values_and_grads(loss, *args, delta=delta, weights=ones, **scope)
        assert grads.any()
        assert others.equal(values)
        assert other_grads.equal(grads)


@ALL_LOSSES
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_weights_of_one_change_no_bit_of_many_logits(loss, kind, dtype):
    (logits, labels, quality), _, _ = weighted_problem(None, kind, MANY)
    args = logits.to(dtype), labels, quality
    values, grads = values_and_grads(loss, *args)
    others, other_grads = values_and_grads(loss, *args, weights=torch.ones(MANY))
    assert others.equal(values)
    assert other_grads.equal(grads)


@ALL_LOSSES
@IMAGES
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_many_logits_equal_float64(loss, num_images, kind, dtype):
    (logits, labels, quality), _, scope = weighted_problem(num_images, kind, MANY)
    weights = random_weights(labels, 0, "fractions")
    logits = logits.to(dtype)
    values, grads = values_and_grads(loss, logits, labels, quality, weights=weights, **scope)
    expected, expected_grads = values_and_grads(
        loss, logits.double(), labels, quality, weights=weights, **scope
    )
    torch.testing.assert_close(values, expected, rtol=1e-6, atol=1e-7)
    rtol, atol = max(torch.finfo(dtype).eps, 1e-5), 1e-5 * float(expected_grads.abs().max())
    torch.testing.assert_close(grads, expected_grads, rtol=rtol, atol=atol)


@WEIGHTED
@IMAGES
@pytest.mark.parametrize("factor", [1e-20, 0.3, 1e20])
def test_a_factor_of_all_weights_changes_nothing(loss, num_images, factor):
    problem, weights, scope = weighted_problem(num_images)
    values, grads = values_and_grads(loss, *problem, weights=weights, **scope)
    others, other_grads = values_and_grads(loss, *problem, weights=factor * weights, **scope)
    torch.testing.assert_close(others, values)
    torch.testing.assert_close(other_grads, grads)


@WEIGHTED
@IMAGES
@pytest.mark.parametrize("stray", [0.0, torch.nan, torch.inf])
def test_a_row_of_weight_0_is_absent(loss, num_images, stray):
    problem, weights, scope = weighted_problem(num_images)
    problem[0][weights == 0] = stray
    values, grads = values_and_grads(loss, *problem, weights=weights, **scope)
    is_present = (weights > 0).long()
    present, present_scope = rows_of(problem, scope, is_present)
    expected, expected_grads = values_and_grads(
        loss, *present, weights=weights[weights > 0], **present_scope
    )
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(grads, sum_over_copies(expected_grads, is_present))


@WEIGHTED
@IMAGES
@pytest.mark.parametrize("delta", [0.0, 1.0])
def test_a_weight_of_a_negative_is_its_repetition(loss, num_images, delta):
    problem, weights, scope = weighted_problem(num_images)
    counts = weights.long().where(problem[1] == 3, 1)
    values, grads = values_and_grads(loss, *problem, delta=delta, weights=counts, **scope)
    repeated, repeated_scope = rows_of(problem, scope, counts)
    expected, expected_grads = values_and_grads(loss, *repeated, delta=delta, **repeated_scope)
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(grads, sum_over_copies(expected_grads, counts))


@pytest.mark.parametrize(
    ("name", "delta"),
    [("auc", 0.0), ("auc", 1.0), ("rank_sort", 0.0), ("rank_sort", 1.0), ("ap", 0.0), ("dr", None)],
)
@IMAGES
def test_a_weight_of_any_sample_is_its_repetition(name, delta, num_images):
    problem, weights, scope = weighted_problem(num_images)
    counts = weights.long()
    loss = WITH_DR[name]
    values, grads = values_and_grads(loss, *problem, delta=delta, weights=weights, **scope)
    repeated, repeated_scope = rows_of(problem, scope, counts)
    expected, expected_grads = values_and_grads(loss, *repeated, delta=delta, **repeated_scope)
    torch.testing.assert_close(values, expected)
    torch.testing.assert_close(grads, sum_over_copies(expected_grads, counts))


@IMAGES
def test_values_of_alrp_at_the_hard_step_are_those_of_repetitions(num_images):
    problem, weights, scope = weighted_problem(num_images)
    repeated, repeated_scope = rows_of(problem, scope, weights.long())
    values = alrp_loss(*problem, delta=0, weights=weights, **scope)
    expected = alrp_loss(*repeated, delta=0, **repeated_scope)
    torch.testing.assert_close(values, expected)


@pytest.mark.parametrize("num_classes", [1, 3])
def test_without_negatives_auc_is_0(num_classes):
    logits = torch.randn(20, num_classes, generator=torch.Generator().manual_seed(0))
    labels, weights = torch.zeros(20).long(), torch.full((20,), 0.1)
    loss = auc_loss(logits, labels, weights=weights)
    assert (loss == 0) == (num_classes == 1)


@WEIGHTED
def test_nothing_with_a_weight_is_a_connected_zero(loss):
    (logits, labels, quality), weights, _ = weighted_problem(None)
    logits.requires_grad_()
    values = loss(logits, labels, quality, weights=0 * weights)
    sum(values).backward()
    assert all(value == 0 for value in values)
    assert not logits.grad.any()


@WEIGHTED
def test_weights_are_constants(loss):
    problem, weights, _ = weighted_problem(None)
    weights.requires_grad_()
    logits = problem[0].requires_grad_()
    sum(loss(logits, *problem[1:], weights=weights)).backward()
    assert weights.grad is None


@WEIGHTED
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.ones(3), r"weights must have the shape \(80,\), not \(3,\)"),
        (torch.ones(80, 3), r"weights must have the shape"),
        (torch.full((80,), -1.0), "weights must be finite and not negative"),
        (torch.full((80,), torch.nan), "weights must be finite and not negative"),
        (torch.full((80,), torch.inf), "weights must be finite and not negative"),
    ],
)
def test_weights_without_a_meaning_are_refused(loss, weights, message):
    problem, _, _ = weighted_problem(None)
    with pytest.raises(ValueError, match=message):
        loss(*problem, weights=weights)
