"""Sigmoid cross-entropy and focal loss against the dense one-hot definition."""

import pytest
import torch
from fvcore.nn import sigmoid_focal_loss
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from imbdet.kernels import chunks
from imbdet.losses import focal_loss, sigmoid_cross_entropy_loss


def dense(elementwise_loss, logits, labels):
    """(M,) row sums of a loss over one-hot targets, 0 for ignored rows."""
    num_classes = logits.shape[1]
    target = F.one_hot(labels.clamp(min=0), num_classes + 1)[:, :num_classes].to(logits.dtype)
    return elementwise_loss(logits, target).sum(dim=1) * (labels >= 0)


def dense_cross_entropy(logits, labels):
    return dense(
        lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="none"), logits, labels
    )


def dense_focal(logits, labels, alpha=0.25, gamma=2.0):
    def elementwise_loss(x, t):
        p_t = torch.sigmoid(torch.where(t == 1, x, -x))
        alpha_t = torch.where(t == 1, alpha, 1 - alpha) if alpha >= 0 else 1
        log_p_t = F.logsigmoid(torch.where(t == 1, x, -x))
        return -alpha_t * (1 - p_t) ** gamma * log_p_t

    return dense(elementwise_loss, logits, labels)


PAIRS = [
    (sigmoid_cross_entropy_loss, dense_cross_entropy),
    (
        lambda x, y: sigmoid_cross_entropy_loss(x, y, alpha=0.6),
        lambda x, y: dense_focal(x, y, alpha=0.6, gamma=0),
    ),
    (focal_loss, dense_focal),
    (
        lambda x, y: focal_loss(x, y, alpha=-1, gamma=0.5),
        lambda x, y: dense_focal(x, y, alpha=-1, gamma=0.5),
    ),
    (
        lambda x, y: focal_loss(x, y, alpha=0.6, gamma=0),
        lambda x, y: dense_focal(x, y, alpha=0.6, gamma=0),
    ),
]


def random_problem(num_rows, num_classes, seed, scale=3.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(num_rows, num_classes, generator=generator, dtype=dtype)
    labels = torch.randint(-1, num_classes + 1, (num_rows,), generator=generator)
    return logits.requires_grad_(), labels


def random_weights(num, seed):
    return torch.rand(num, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("fast", "slow"), PAIRS)
@given(
    num_rows=st.integers(0, 40),
    num_classes=st.integers(1, 6),
    seed=st.integers(0, 2**31),
    chunk_size=st.sampled_from([1, 7, 64, 2**17]),
)
def test_equals_the_one_hot_definition(fast, slow, num_rows, num_classes, seed, chunk_size):
    logits, labels = random_problem(num_rows, num_classes, seed)
    weights = random_weights(num_rows, seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_ENTRIES_CPU", chunk_size)
        losses = fast(logits, labels)
        (grad,) = torch.autograd.grad((losses * weights).sum(), logits)
    expected = slow(logits, labels)
    (expected_grad,) = torch.autograd.grad((expected * weights).sum(), logits)
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(grad, expected_grad)


def test_focal_loss_equals_fvcore():
    logits, labels = random_problem(50, 4, seed=0, dtype=torch.float32)
    expected = dense(lambda x, t: sigmoid_focal_loss(x, t, 0.25, 2.0), logits, labels)
    torch.testing.assert_close(focal_loss(logits, labels), expected)


@pytest.mark.parametrize("loss", [sigmoid_cross_entropy_loss, focal_loss])
def test_gradcheck(loss):
    logits, labels = random_problem(7, 3, seed=0)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), (logits,))


def test_one_entry_by_hand():
    # p = sigmoid(0) = 1/2: a positive has -0.25 (1/2)^2 ln(1/2), a negative -0.75 (1/2)^2 ln(1/2).
    ln2 = torch.tensor(2.0).log()
    losses = focal_loss(torch.zeros(3, 1), torch.tensor([0, 1, -1]))
    torch.testing.assert_close(losses, torch.stack([ln2 / 16, 3 * ln2 / 16, 0 * ln2]))


@pytest.mark.parametrize("loss", [sigmoid_cross_entropy_loss, focal_loss])
@pytest.mark.parametrize(
    "labels", [[], [-1, -1], [3, 3], [0, 2]], ids=["empty", "ignored", "negatives", "positives"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_corner_cases_stay_finite_and_connected(loss, labels, dtype):
    logits = torch.full((len(labels), 3), 100.0, dtype=dtype, requires_grad=True)
    total = loss(logits, torch.tensor(labels, dtype=torch.int64), reduction="sum")
    total.backward()
    assert total.dtype == torch.float32
    assert logits.grad.dtype == dtype
    assert total.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("loss", [sigmoid_cross_entropy_loss, focal_loss])
def test_an_ignored_row_pays_nothing_whatever_it_holds(loss):
    logits = torch.tensor([[float("nan")], [float("inf")], [1.0]], requires_grad=True)
    total = loss(logits, torch.tensor([-1, -1, 1]), reduction="sum")
    total.backward()
    assert total.isfinite()
    assert logits.grad[:2].eq(0).all()
    assert logits.grad[2] > 0


def test_small_losses_are_not_swallowed_by_large_logits():
    # A positive at +100 beside negatives at -20: only the negatives' 2e-9 each is left.
    logits = torch.tensor([[100.0, -20.0, -20.0]])
    loss = sigmoid_cross_entropy_loss(logits, torch.tensor([0]))
    torch.testing.assert_close(loss, torch.tensor([2 * 2.0611536e-9]), rtol=1e-4, atol=0)


def test_a_second_backward_pass_is_right():
    logits, labels = random_problem(5, 2, seed=1)
    total = focal_loss(logits, labels, reduction="sum")
    (first,) = torch.autograd.grad(total, logits, retain_graph=True)
    (second,) = torch.autograd.grad(3 * total, logits)
    torch.testing.assert_close(second, 3 * first)


def test_weights_multiply_rows():
    logits, labels = random_problem(5, 2, seed=2)
    weights = torch.arange(5.0, dtype=torch.float64)
    weighted = focal_loss(logits, labels, weights=weights)
    torch.testing.assert_close(weighted, focal_loss(logits, labels) * weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reduction": "mean"}, "reduction must be 'none' or 'sum', not 'mean'"),
        ({"weights": torch.ones(3)}, r"weights must have the shape \(4,\), not \(3,\)"),
        ({"alpha": 2.0}, "alpha is 2.0: it must be at most 1"),
        ({"gamma": -1.0}, "gamma is -1.0: it must be"),
        ({"gt_labels": torch.zeros(3, dtype=torch.int64)}, r"gt_labels must have the shape \(4,\)"),
        (
            {"gt_labels": torch.tensor([0, 3, -2, 2])},
            r"gt_labels must lie in \[-1, 2\], 2 being the background; 2 do not, such as 3",
        ),
        ({"gt_labels": torch.ones(4, dtype=torch.bool)}, "gt_labels must be int64, not torch.bool"),
        ({"gt_labels": torch.ones(4, dtype=torch.uint8)}, "must be int64, not torch.uint8"),
        ({"gt_labels": torch.ones(4)}, "gt_labels must be int64, not torch.float32"),
        ({"pred_logits": torch.zeros(4)}, "pred_logits must have the shape"),
    ],
)
def test_bad_arguments(arguments, message):
    arguments = {
        "pred_logits": torch.zeros(4, 2),
        "gt_labels": torch.zeros(4, dtype=torch.int64),
        **arguments,
    }
    logits, labels = arguments.pop("pred_logits"), arguments.pop("gt_labels")
    with pytest.raises(ValueError, match=message):
        focal_loss(logits, labels, **arguments)
