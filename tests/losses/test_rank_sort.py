"""Rank & Sort: its two terms, and the sorting of many positives."""

import numpy as np
import pytest
import torch

from imbdet.losses import rank_sort_loss
from tests.losses import ranking_definitions as definitions
from tests.losses.ranking_problems import DELTAS, random_problem


def test_each_term_of_rank_sort_has_its_own_gradient():
    logits, labels, quality = random_problem(100, 2, 5, "random")
    ranking, sorting = rank_sort_loss(logits, labels, quality)
    parts = [torch.autograd.grad(x, logits, retain_graph=True)[0] for x in (ranking, sorting)]
    (weighted,) = torch.autograd.grad(2 * ranking + 7 * sorting, logits)
    torch.testing.assert_close(weighted, 2 * parts[0] + 7 * parts[1])


@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("kind", ["random", "quantised"])
def test_sorting_of_many_positives_equals_its_definition(kind, delta):
    logits, _, _ = random_problem(300, 1, 6, kind)
    labels = torch.zeros(300, dtype=torch.int64)
    ious = (torch.rand(300, generator=torch.Generator().manual_seed(0)).double() * 8).round() / 8
    _, sorting = rank_sort_loss(logits, labels, ious, delta=delta)
    (grad,) = torch.autograd.grad(sorting, logits)
    p = logits.detach()[:, 0].numpy()
    _, (expected, expected_grad) = definitions.rank_sort(p, np.zeros(0), delta, ious.numpy())
    np.testing.assert_allclose(sorting.item(), expected, rtol=1e-9)
    np.testing.assert_allclose(grad[:, 0], expected_grad, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("image_idxs", [None, torch.arange(300) % 4])
def test_equal_ious_need_no_sorting(delta, image_idxs):
    logits, labels, _ = random_problem(300, 1, 7, "random")
    ious = torch.full(((labels == 0).sum(),), 0.7)
    _, sorting = rank_sort_loss(logits, labels, ious, delta=delta, image_idxs=image_idxs)
    (grad,) = torch.autograd.grad(sorting, logits)
    assert sorting == 0
    assert not grad.any()


@pytest.mark.parametrize("seed", range(5))
def test_rounding_makes_no_sorting_error(seed):
    # In the right order, each pair exactly a ramp apart: what is wrong is a sum of 0s, computed as
    # a difference of numbers with many digits.
    generator = torch.Generator().manual_seed(seed)
    odd = (4 * torch.arange(200) + torch.rand(200, generator=generator)).double() / 5
    even = 500 + 2 * torch.arange(200) + torch.rand(200, generator=generator).mul(64).round() / 64
    logits = torch.cat([odd, even, even + 0.5]).sort().values[:, None].requires_grad_()
    ious = torch.linspace(0, 1, len(logits), dtype=torch.float64)
    labels = torch.zeros(len(logits), dtype=torch.int64)
    _, sorting = rank_sort_loss(logits, labels, ious, delta=0.5)
    (grad,) = torch.autograd.grad(sorting, logits)
    assert 0 <= sorting < 1e-12
    assert grad.abs().max() < 1e-12
