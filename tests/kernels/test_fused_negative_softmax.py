"""The softmax of each row's negatives by kernels of Triton, by its interpreter, and DR loss."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imbdet.kernels.backend import choose_backend
from imbdet.kernels.negative_softmax import negative_softmax
from imbdet.losses import dr_loss
from imbdet.ops.labels import positive_entries
from tests.kernels.test_fused_step_sums import problem

pytest.importorskip("triton")

# Without samples the loss is 0, unlike that of the published code.
GOLDEN = sorted((Path(__file__).parents[1] / "losses/golden").glob("dr__[!a]*.npz"))
# Tolerances of gradients, relative to the largest: digits of float32, else those of the type.
TOLERANCES = {torch.float32: 3e-6, torch.bfloat16: 8e-3, torch.float16: 1e-3}


@pytest.fixture(autouse=True)
def restored_backend():
    yield
    choose_backend("auto")


def softmax_of_rows(logits, labels, temperature):
    """Log-sum-exp and mean of each row, row by row in float64."""
    masses, means = [], []
    for row, label in zip(logits.double().sigmoid(), labels.tolist(), strict=True):
        scores = row[(torch.arange(len(row)) != label) & (label >= 0)]
        masses.append((scores / temperature).logsumexp(dim=0))
        means.append(((scores / temperature).softmax(dim=0) * scores).sum())
    return torch.stack(masses), torch.stack(means)


@settings(max_examples=30)
@given(
    num_rows=st.integers(1, 60),
    num_columns=st.sampled_from([1, 2, 17, 40]),
    scale=st.sampled_from([0.0, 1.0, 30.0, 200.0]),
    temperature=st.sampled_from([0.01, 0.08, 1.0, 100.0]),
    seed=st.integers(0, 9),
)
def test_rows_equal_the_definition(num_rows, num_columns, scale, temperature, seed):
    logits, labels, _, _ = problem(num_rows, num_columns, seed, scale=scale)
    choose_backend("triton")
    pos_entries = positive_entries(labels, num_columns)
    found = negative_softmax(logits, labels, pos_entries, temperature)
    expected = softmax_of_rows(logits, labels, temperature)
    # A score has an error of half a digit of float32, which the temperature magnifies.
    torch.testing.assert_close(found[0], expected[0], rtol=1e-6, atol=1e-6 + 1e-7 / temperature)
    torch.testing.assert_close(found[1], expected[1], rtol=2e-6, atol=2e-6)
    assert found[2].equal(logits[pos_entries].double())


def value_and_grad(logits, labels, **options):
    logits = logits.detach().requires_grad_()
    value = dr_loss(logits, labels, **options)
    return value.detach(), torch.autograd.grad(value, logits)[0]


def assert_as_in_float64(logits, labels, **options):
    """Assert that kernels give what PyTorch's operations give in float64."""
    choose_backend("triton")
    value, grad = value_and_grad(logits, labels, **options)
    expected, expected_grad = value_and_grad(logits.double(), labels, **options)
    torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=1e-7)
    assert grad.dtype == logits.dtype
    tolerance = TOLERANCES[logits.dtype]
    largest = float(expected_grad.abs().max()) if grad.numel() else 0.0
    torch.testing.assert_close(
        grad.double(), expected_grad, rtol=tolerance, atol=tolerance * largest
    )


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("by_image", [False, True], ids=["batch", "image"])
def test_the_loss_is_that_of_float64(by_image, weighted, dtype):
    logits, labels, _, options = problem(
        150, 20, seed=0, dtype=dtype, by_image=by_image, weighted=weighted
    )
    assert_as_in_float64(logits, labels, **options)


@settings(max_examples=25)
@given(
    num_rows=st.integers(0, 60),
    num_columns=st.sampled_from([1, 2, 17, 40]),
    scale=st.sampled_from([0.0, 1.0, 10.0]),
    by_image=st.booleans(),
    weighted=st.booleans(),
    seed=st.integers(0, 9),
)
def test_any_shape_and_equal_logits(num_rows, num_columns, scale, by_image, weighted, seed):
    logits, labels, _, options = problem(
        num_rows, num_columns, seed, scale=scale, by_image=by_image, weighted=weighted
    )
    assert_as_in_float64(logits, labels, **options)


@pytest.mark.parametrize("score", [-100.0, 100.0])
@pytest.mark.parametrize("kinds", ["---", "nnn", "n-n", "ppp", "p-", "pn"])
@pytest.mark.parametrize("num_classes", [1, 3])
def test_saturated_logits_and_rows_of_a_kind(num_classes, kinds, score):
    labels = torch.tensor([{"p": 0, "n": num_classes, "-": -1}[kind] for kind in kinds])
    logits = torch.full((len(kinds), num_classes), score)
    logits[labels < 0] = torch.nan
    choose_backend("triton")
    value, grad = value_and_grad(logits, labels)
    assert value.isfinite()
    assert grad.isfinite().all()
    assert not grad[labels < 0].any()


def test_nan_spoils_the_loss():
    logits, labels, _, _ = problem(20, 3, seed=0)
    logits = logits.clone()
    logits[labels.argmax(), 0] = torch.nan
    choose_backend("triton")
    assert dr_loss(logits, labels).isnan()


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_published_values(path):
    case = np.load(path)
    logits, targets = torch.from_numpy(case["logits"]), torch.from_numpy(case["targets"])
    # Published labels are 0 for the background, 1 to K for classes.
    labels = torch.where(targets > 0, targets - 1, torch.where(targets == 0, logits.shape[1], -1))
    names = {"margin": "margin", "sharpness": "L", "tau": "tau"}
    names |= {"lambda_pos": "pos_lambda", "lambda_neg": "neg_lambda"}
    choose_backend("triton")
    value, grad = value_and_grad(
        logits, labels, **{ours: case[theirs].item() for ours, theirs in names.items()}
    )
    np.testing.assert_allclose(value, case["loss_f64"], rtol=1e-6)
    expected = case["grad_f64"] / case["out_grad"]
    np.testing.assert_allclose(grad, expected, rtol=3e-6, atol=3e-6 * np.abs(expected).max())
