"""AP, AUC, aLRP and Rank & Sort loss against their definitions, and identities."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.kernels import chunks
from imbdet.losses import alrp_loss, ap_loss, auc_loss, rank_sort_loss
from tests.losses import ranking_definitions as definitions
from tests.losses.ranking_problems import (
    ALL_LOSSES,
    DELTAS,
    KINDS,
    LOSSES,
    WIDE_KINDS,
    random_problem,
    split,
    values_and_grads,
)

PROBLEMS = given(
    num_rows=st.integers(0, 30),
    num_classes=st.integers(1, 4),
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(WIDE_KINDS),
    delta=st.sampled_from(DELTAS),
    chunk_size=st.sampled_from([1, 16, 2**17]),
)


@PROBLEMS
def test_losses_equal_their_definitions(num_rows, num_classes, seed, kind, delta, chunk_size):
    logits, labels, quality = random_problem(num_rows, num_classes, seed, kind)
    is_positive, is_negative = split(logits, labels)
    if not is_positive.any():
        return
    p, n = (logits.detach()[mask].numpy() for mask in (is_positive, is_negative))
    q = quality.detach().numpy()

    def check(loss, value, pos_grads, neg_grads):
        (grad,) = torch.autograd.grad(loss, logits, retain_graph=True)
        np.testing.assert_allclose(loss.item(), value, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(grad[is_positive], pos_grads, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(grad[is_negative], neg_grads, rtol=1e-7, atol=1e-9)
        assert not grad[labels < 0].any()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_ENTRIES_CPU", chunk_size)
        for interpolated in (True, False):
            loss = ap_loss(logits, labels, delta=delta, interpolated=interpolated)
            check(loss, *definitions.ap(p, n, delta, interpolated))
        check(auc_loss(logits, labels, delta=delta), *definitions.auc(p, n, delta))
        cls, box = alrp_loss(logits, labels, quality, delta=delta)
        *expected, localisation, loc_grads = definitions.alrp(p, n, delta, q)
        check(cls, *expected)
        np.testing.assert_allclose(box.item(), localisation)
        np.testing.assert_allclose(torch.autograd.grad(box, quality)[0], loc_grads)
        ranking, sorting = rank_sort_loss(logits, labels, quality, delta=delta)
        expected_ranking, expected_sorting = definitions.rank_sort(p, n, delta, q)
        check(ranking, *expected_ranking)
        check(sorting, *expected_sorting, np.zeros(len(n)))


@pytest.mark.parametrize("loss", [alrp_loss, rank_sort_loss])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64])
def test_qualities_of_a_narrow_type_are_those_of_their_float64(loss, dtype):
    # So many positives that the share of each vanishes in half precision.
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(40_000, 1, generator=generator)
    labels = torch.arange(len(logits)) % 40 // 39
    quality = torch.rand(int((labels == 0).sum()), generator=generator).mul(2).round().to(dtype)
    found, expected = (torch.stack(loss(logits, labels, q)) for q in (quality, quality.double()))
    assert found.dtype in (torch.float32, torch.float64)
    assert expected.all()
    torch.testing.assert_close(found.double(), expected.double(), rtol=1e-5, atol=0)


@ALL_LOSSES
@pytest.mark.parametrize("scale", [0.25, 8.0])
def test_scores_count_in_units_of_delta(loss, scale):
    logits, labels, quality = random_problem(200, 3, 0, "random")
    values, grads = values_and_grads(loss, logits, labels, quality, delta=0.5)
    scaled = values_and_grads(loss, scale * logits, labels, quality, delta=scale * 0.5)
    assert grads.any()
    torch.testing.assert_close(scaled, (values, grads), rtol=0, atol=0)


@pytest.mark.parametrize("kind", WIDE_KINDS)
def test_float32_on_a_large_problem_equals_float64(kind):
    logits, labels, quality = random_problem(20_000, 8, 0, kind)
    for loss in LOSSES.values():
        grads = []
        for dtype in (torch.float32, torch.float64):
            x = logits.detach().float().to(dtype).requires_grad_()
            values = loss(x, labels, quality.to(dtype).detach())
            grads.append((*torch.autograd.grad(values[0], x), values[0].detach()))
        torch.testing.assert_close(grads[0][1].double(), grads[1][1], rtol=1e-6, atol=1e-7)
        atol = 1e-6 * float(grads[1][0].abs().max())
        torch.testing.assert_close(grads[0][0].double(), grads[1][0], rtol=1e-5, atol=atol)


@ALL_LOSSES
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_on_a_large_problem_equals_float64(loss, kind, dtype):
    logits, labels, quality = random_problem(20_000, 8, 0, kind)
    logits = logits.detach().to(dtype)
    values, grads = values_and_grads(loss, logits, labels, quality)
    expected, expected_grads = values_and_grads(loss, logits.double(), labels, quality)
    torch.testing.assert_close(values, expected, rtol=1e-6, atol=1e-7)
    rtol, atol = torch.finfo(dtype).eps, 1e-5 * float(expected_grads.abs().max())
    torch.testing.assert_close(grads, expected_grads, rtol=rtol, atol=atol)


@ALL_LOSSES
@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize(
    "kinds",
    ["", "---", "nnn", "n-n", "p", "ppp", "p-", "pn"],
    ids=["empty", "ignored", "negatives", "no positive", "one", "positives", "p-", "pair"],
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("score", [-60000.0, 0.0, 100.0])
def test_corner_cases_stay_finite_and_connected(loss, num_classes, kinds, dtype, score):
    labels = torch.tensor([{"p": 0, "n": num_classes, "-": -1}[k] for k in kinds], dtype=torch.long)
    logits = torch.full((len(kinds), num_classes), score, dtype=dtype, requires_grad=True)
    quality = torch.full((kinds.count("p"),), 0.5, requires_grad=True)
    values = loss(logits, labels, quality)
    sum(values).backward()
    assert all(value.isfinite() and value.dtype == torch.float32 for value in values)
    assert logits.grad.isfinite().all()
    assert logits.grad.dtype == dtype
    if "p" not in kinds:
        assert all(value == 0 for value in values)
        assert not logits.grad.any()


@ALL_LOSSES
def test_gradients_of_positives_and_negatives_cancel(loss):
    logits, labels, quality = random_problem(200, 3, 0, "random")
    for value in loss(logits, labels, quality):
        if value.requires_grad:
            grads = torch.autograd.grad(value, logits, retain_graph=True, allow_unused=True)[0]
            assert grads is None or grads.sum().abs() < 1e-12


@ALL_LOSSES
def test_only_differences_of_scores_count(loss):
    logits, labels, quality = random_problem(100, 3, 1, "random")
    shifted = (logits + 7).detach().requires_grad_()
    for value, other in zip(
        loss(logits, labels, quality), loss(shifted, labels, quality), strict=True
    ):
        torch.testing.assert_close(value, other)


@ALL_LOSSES
def test_the_order_of_samples_does_not_matter(loss):
    logits, labels, quality = random_problem(100, 3, 2, "random")
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    is_positive = (labels >= 0) & (labels < 3)
    per_row = torch.zeros(100, dtype=torch.float64)
    per_row[is_positive] = quality.detach()
    permuted = per_row[order][is_positive[order]]
    values = loss(logits, labels, quality.detach())
    others = loss(logits[order], labels[order], permuted)
    for value, other in zip(values, others, strict=True):
        torch.testing.assert_close(value, other)


def test_interpolated_ap_at_the_hard_step_is_average_precision():
    # Precision at the rank of each positive, the highest at its recall or above, averaged.
    logits, labels, _ = random_problem(300, 1, 3, "random")
    is_positive, is_negative = split(logits, labels)
    used = is_positive | is_negative
    order = logits.detach()[used].argsort(descending=True)
    hits = is_positive[used][order].double()
    precision = (hits.cumsum(0) / torch.arange(1, len(hits) + 1))[hits == 1]
    average = precision.flip(0).cummax(0).values.mean()
    torch.testing.assert_close(1 - ap_loss(logits, labels, delta=0.0).detach(), average)


def test_lowering_a_wrong_negative_never_raises_the_ap_loss():
    logits, labels, _ = random_problem(60, 1, 4, "random")
    _, is_negative = split(logits, labels)
    before = ap_loss(logits, labels)
    for row in is_negative.nonzero()[:, 0].tolist():
        lowered = logits.detach().clone()
        lowered[row] -= 0.5
        assert ap_loss(lowered, labels) <= before + 1e-12


@ALL_LOSSES
def test_the_update_separates_what_can_be_separated(loss):
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(200, 2, generator=generator, dtype=torch.float64)
    labels = (points.sum(dim=1) < 0).long()
    points = points + 0.3 * torch.where(labels == 0, 1.0, -1.0)[:, None]
    quality = torch.full(((labels == 0).sum(),), 0.5, dtype=torch.float64)
    weights = torch.tensor([[1.0], [-1.0]], dtype=torch.float64, requires_grad=True)
    for _ in range(300):
        value = loss(points @ weights, labels, quality)[0]
        (grad,) = torch.autograd.grad(value, weights)
        weights = (weights - 5 * grad).detach().requires_grad_()
    assert value < 1e-3


def test_bad_arguments():
    logits, labels = torch.zeros(4, 2), torch.tensor([0, 1, 2, -1])
    with pytest.raises(ValueError, match="delta is -1: it must be at least 0"):
        ap_loss(logits, labels, delta=-1)
    with pytest.raises(ValueError, match=r"gt_labels must have the shape \(4,\)"):
        auc_loss(logits, labels[:3])
    with pytest.raises(ValueError, match=r"loc_errors must have the shape \(2,\)"):
        alrp_loss(logits, labels, torch.zeros(4))
    with pytest.raises(ValueError, match=r"ious must have the shape \(2,\)"):
        rank_sort_loss(logits, labels, torch.zeros(3))
