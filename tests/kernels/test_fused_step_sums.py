"""Rankings by kernels of Triton, by its interpreter, against PyTorch's operations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imbdet.kernels.backend import choose_backend
from imbdet.kernels.step_sums import ChunkedSums, step_sums
from imbdet.kernels.steps import Steps
from imbdet.losses import alrp_loss, ap_loss, auc_loss, rank_sort_loss

pytest.importorskip("triton")

LOSSES = {
    "ap": lambda x, y, q, **kwargs: ap_loss(x, y, **kwargs),
    "ap, hard step": lambda x, y, q, **kwargs: ap_loss(x, y, delta=0.0, **kwargs),
    "auc": lambda x, y, q, **kwargs: auc_loss(x, y, **kwargs),
    "alrp": lambda x, y, q, **kwargs: sum(alrp_loss(x, y, q, **kwargs)),
    "rank & sort": lambda x, y, q, **kwargs: sum(rank_sort_loss(x, y, q, **kwargs)),
}
# Tolerances of gradients, relative to the largest: in float32 those of sums in another order, else
# a digit of the type.
TOLERANCES = {torch.float32: 1e-6, torch.bfloat16: 8e-3, torch.float16: 1e-3}


@pytest.fixture(autouse=True)
def restored_backend():
    yield
    choose_backend("auto")


def problem(num_rows, num_columns, seed, *, scale=2.0, dtype=torch.float32, **which):
    """Logits of which a column beyond the last is not used, labels, qualities and options."""
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(num_rows, num_columns + 1, generator=generator) - 2
    labels = torch.randint(-1, num_columns, (num_rows,), generator=generator)
    is_background = torch.rand(num_rows, generator=generator) < 0.7
    labels[is_background] = num_columns
    quality = torch.rand(int(((labels >= 0) & (labels < num_columns)).sum()), generator=generator)
    options = {}
    if which.get("by_image"):
        options["image_idxs"] = torch.randint(3, (num_rows,), generator=generator).sort().values
    if which.get("weighted"):
        options["weights"] = torch.randint(3, (num_rows,), generator=generator).float()
    return logits.to(dtype)[:, :-1], labels, quality, options


def computed(name, loss, logits, labels, quality, options):
    choose_backend(name)
    logits = logits.detach().requires_grad_()
    value = loss(logits, labels, quality, **options)
    (grad,) = torch.autograd.grad(value, logits)
    return value.detach(), grad


def assert_alike(loss, problem, tolerance=1e-6):
    expected, found = (computed(name, loss, *problem) for name in ("torch", "triton"))
    torch.testing.assert_close(found[0], expected[0], rtol=1e-6, atol=1e-7)
    largest = float(expected[1].abs().max()) if expected[1].numel() else 0.0
    assert found[1].dtype == expected[1].dtype
    torch.testing.assert_close(found[1], expected[1], rtol=tolerance, atol=tolerance * largest)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("by_image", [False, True], ids=["batch", "image"])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_values_and_gradients_are_those_of_pytorch(loss, by_image, weighted, dtype):
    some = problem(150, 20, seed=0, dtype=dtype, by_image=by_image, weighted=weighted)
    assert_alike(loss, some, TOLERANCES[dtype])


@settings(max_examples=30)
@given(
    num_rows=st.integers(0, 60),
    num_columns=st.sampled_from([1, 2, 17, 40]),
    scale=st.sampled_from([0.0, 0.01, 3.0, 1e4]),
    by_image=st.booleans(),
    weighted=st.booleans(),
    seed=st.integers(0, 9),
    name=st.sampled_from(list(LOSSES)),
)
def test_any_shape_and_equal_and_extreme_logits(
    num_rows, num_columns, scale, by_image, weighted, seed, name
):
    some = problem(num_rows, num_columns, seed, scale=scale, by_image=by_image, weighted=weighted)
    assert_alike(LOSSES[name], some)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf], ids=str)
def test_logits_that_are_not_finite(value):
    logits, labels, quality, _ = problem(40, 8, seed=1)
    background = int((labels == 8).nonzero()[0])
    logits = logits.clone()
    logits[labels < 0] = torch.nan  # ignored rows do not count
    logits[background, 3] = value
    expected, found = (
        computed(name, LOSSES["ap"], logits, labels, quality, {}) for name in ("torch", "triton")
    )
    torch.testing.assert_close(found, expected, equal_nan=True)
    assert found[0].isnan() == (value != value)


def test_float64_logits_are_summed_by_pytorch():
    choose_backend("triton")
    steps = Steps(torch.zeros(1), 1.0)
    assert isinstance(step_sums(steps, torch.empty(9, 1, dtype=torch.float64)), ChunkedSums)
    assert not isinstance(step_sums(steps, torch.empty(9, 1)), ChunkedSums)
