"""The histogram of gradient norms by a kernel of Triton, by its interpreter, and GHM-C."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imbdet.kernels.backend import choose_backend
from imbdet.kernels.norm_histogram import norm_histogram
from imbdet.losses import GHMCLoss
from tests.kernels.test_fused_step_sums import problem

pytest.importorskip("triton")

GOLDEN = sorted((Path(__file__).parents[1] / "losses/golden").glob("ghmc__*.npz"))


@pytest.fixture(autouse=True)
def restored_backend():
    yield
    choose_backend("auto")


def definition(logits, labels, num_bins, weights=None):
    """GHM-C's histogram, entry by entry in float64."""
    counts = [0.0] * num_bins
    weights = torch.ones(len(labels)) if weights is None else weights
    for row, label, weight in zip(logits, labels.tolist(), weights.tolist(), strict=True):
        for column, x in enumerate(row.double()):
            if label >= 0:
                norm = torch.sigmoid(-x if column == label else x)
                counts[min(int(norm * num_bins), num_bins - 1)] += weight
    return torch.tensor(counts, dtype=torch.float64)


@settings(max_examples=30)
@given(
    num_rows=st.integers(0, 40),
    num_columns=st.sampled_from([1, 2, 17, 40]),
    num_bins=st.sampled_from([1, 4, 32, 100]),
    scale=st.sampled_from([0.0, 1.0, 30.0, 200.0]),
    weighted=st.booleans(),
    seed=st.integers(0, 9),
)
def test_counts_are_exact(num_rows, num_columns, num_bins, scale, weighted, seed):
    logits, labels, _, options = problem(
        num_rows, num_columns, seed, scale=scale, weighted=weighted
    )
    # A norm within a digit of an edge may fall on either side: none is that close.
    norms = logits.double().sigmoid() * num_bins
    logits = logits.where((norms - norms.round()).abs() > 1e-4 * num_bins, 0.3)
    choose_backend("triton")
    found = norm_histogram(logits, labels, num_bins, **options)
    assert found.equal(definition(logits, labels, num_bins, **options))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_half_precision_is_read_as_it_is(weighted, dtype):
    logits, labels, _, options = problem(100, 20, 0, dtype=dtype, weighted=weighted)
    choose_backend("triton")
    found = norm_histogram(logits, labels, 30, **options)
    assert found.equal(definition(logits, labels, 30, **options))


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("correct_bias", [False, True])
def test_a_training_keeps_the_averages_of_pytorch(correct_bias, weighted):
    by_torch, by_triton = (GHMCLoss(correct_bias=correct_bias) for _ in range(2))
    for seed in range(3):
        logits, labels, _, options = problem(60, 8, seed, weighted=weighted)
        logits = logits.detach().requires_grad_()
        results = []
        for name, module in (("torch", by_torch), ("triton", by_triton)):
            choose_backend(name)
            losses = module(logits, labels, **options)
            results.append((losses.detach(), torch.autograd.grad(losses.sum(), logits)[0]))
        for found, expected in zip(*reversed(results), strict=True):
            atol = 2e-6 * float(expected.abs().max())
            torch.testing.assert_close(found, expected, rtol=2e-6, atol=atol)
    for name, expected in by_torch.named_buffers():
        assert by_triton.get_buffer(name).equal(expected), name


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_published_values(path):
    case = np.load(path)
    choose_backend("triton")
    module = GHMCLoss(case["bins"].item(), case["momentum"].item())
    for i, valid in enumerate(case["label_weight"] > 0):
        logits = torch.from_numpy(case["pred"][i]).reshape(-1, 1).requires_grad_()
        labels = torch.from_numpy(np.where(valid, 1 - case["target"][i], -1)).long().flatten()
        loss = module(logits, labels).sum()
        (grad,) = torch.autograd.grad(loss, logits)
        np.testing.assert_allclose(loss.detach(), case["loss"][i], rtol=1e-6)
        expected = case["grad"][i].reshape(-1, 1)
        largest = np.abs(expected).max()
        np.testing.assert_allclose(grad, expected, rtol=2e-6, atol=2e-6 * largest)
