import numpy as np
import pytest
import torch
from torch.nn import functional as F

from imbdet.figures.gradient_shares import (
    EntryGradients,
    box_gradients,
    focal_gradient,
    harmony,
    smooth_l1_gradient,
)
from imbdet.figures.study import NothingToShow
from imbdet.losses import GHMCLoss, GHMRLoss, focal_loss
from imbdet.structures.classifiers import SIGMOID, SOFTMAX


def problem(classifier, num_classes=3, num_samples=40):
    torch.manual_seed(0)
    columns = num_classes + (classifier is SOFTMAX)
    logits = (3 * torch.randn(num_samples, columns, dtype=torch.float64)).requires_grad_()
    labels = torch.randint(-1, num_classes + 1, (num_samples,))
    scores = logits.sigmoid() if classifier is SIGMOID else logits.softmax(dim=1)[:, :-1]
    return logits, labels, scores.detach()


def gather(scores, labels, classifier, **options):
    gathered = EntryGradients(**{"num_bins": 30, "alpha": 0.25, "gamma": 2.0, **options})
    for part in (slice(0, 7), slice(7, 7), slice(7, None)):
        gathered.add(scores[part], labels[part], classifier)
    return gathered.result()


def test_gradients_are_those_of_the_losses():
    logits, labels, scores = problem(SIGMOID)
    numbers = gather(scores, labels, SIGMOID)
    valid = labels >= 0
    targets = F.one_hot(labels.clamp(min=0), 4)[:, :3].double()
    cross_entropy = F.binary_cross_entropy_with_logits(
        logits[valid], targets[valid], reduction="sum"
    )
    for loss, name in (
        (cross_entropy, "CE"),
        (focal_loss(logits, labels, alpha=0.25, gamma=2.0, reduction="sum"), "focal"),
    ):
        (grad,) = torch.autograd.grad(loss, logits)
        assert numbers.sums[name].sum() == pytest.approx(float(grad.abs().sum()), rel=1e-6)
    # GHM divides by the number of entries.
    harmonised = GHMCLoss(bins=30, momentum=0.0)
    (grad,) = torch.autograd.grad(harmonised(logits, labels).sum(), logits)
    num_entries = 3 * int(valid.sum())
    total = float(grad.abs().sum()) * num_entries
    assert numbers.sums["GHM-C"].sum() == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("classifier", [SIGMOID, SOFTMAX])
def test_counts_by_hand(classifier):
    _, labels, scores = problem(classifier)
    numbers = gather(scores, labels, classifier, num_bins=10)
    expected = np.zeros((2, 10), dtype=int)
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        entries = [*row, 1 - sum(row)] if classifier is SOFTMAX else row
        for column, score in enumerate(entries if label >= 0 else []):
            norm = 1 - score if column == label else score
            expected[int(column != label), min(int(norm * 10), 9)] += 1
    np.testing.assert_array_equal(numbers.counts["positives"], expected[0])
    np.testing.assert_array_equal(numbers.counts["negatives"], expected[1])
    for share in numbers.shares.values():
        assert share.sum() == pytest.approx(1)


def test_focal_gradient_is_the_derivative():
    norms = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0], dtype=torch.float64)
    logits = torch.logit(norms[1:4]).requires_grad_()
    loss = focal_loss(logits[:, None], torch.ones(3, dtype=torch.int64), alpha=-1, gamma=2.0)
    (grad,) = torch.autograd.grad(loss.sum(), logits)
    torch.testing.assert_close(focal_gradient(norms, 2.0)[1:4], grad)
    torch.testing.assert_close(focal_gradient(norms, 0.0), norms)
    assert focal_gradient(norms, 2.0).isfinite().all()


def test_harmony_by_hand():
    # 10 entries in 2 bins: 10 / (8 * 2) and 10 / (2 * 2).
    np.testing.assert_allclose(harmony(np.array([8, 0, 2])), [0.625, 0, 2.5])
    np.testing.assert_array_equal(harmony(np.array([0, 0])), [0, 0])


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_box_gradients_are_those_of_the_losses(beta):
    torch.manual_seed(0)
    errors = 0.05 * torch.randn(30, 4, dtype=torch.float64)
    columns = {f"error_d{name}": errors[:, i].numpy() for i, name in enumerate("xywh")}
    numbers = box_gradients([columns], mu=0.02, num_bins=10, beta=beta)
    predicted, target = errors.clone().requires_grad_(), torch.zeros_like(errors)
    harmonised = GHMRLoss(mu=0.02, bins=10, momentum=0.0)(predicted, target).sum() * errors.numel()
    smooth = F.smooth_l1_loss(predicted, target, beta=beta, reduction="sum")
    for loss, name in ((harmonised, "GHM-R"), (smooth, "smooth L1")):
        (grad,) = torch.autograd.grad(loss, predicted)
        assert numbers.sums[name].sum() == pytest.approx(float(grad.abs().sum()))
    norms = (errors.abs() / (errors**2 + 0.02**2).sqrt()).flatten()
    assert numbers.sums["ASL1"].sum() == pytest.approx(float(norms.sum()))
    np.testing.assert_array_equal(
        numbers.counts["positives"], np.histogram(norms, np.arange(11) / 10)[0]
    )


def test_curves_belong_to_the_norms():
    columns = {f"error_d{name}": np.array([0.0, 0.01, 5.0]) for name in "xywh"}
    numbers = box_gradients([columns], mu=0.02, num_bins=10, beta=0.02)
    curves = {name: curve[:: len(curve) // 4] for name, curve in numbers.curves.items()}
    # g = 0.5 means d = mu g / sqrt(1 - g^2) = 0.011547.
    assert curves["smooth L1"][2] == pytest.approx(0.011547 / 0.02, rel=1e-4)
    np.testing.assert_allclose(curves["ASL1"], [0, 0.25, 0.5, 0.75, 1])
    # Four of twelve entries are in each of three bins; the others are empty.
    np.testing.assert_allclose(curves["GHM-R"], [0, np.nan, np.nan, np.nan, 1])
    np.testing.assert_array_equal(smooth_l1_gradient(np.array([-1.0, 0.0]), 0.0), [1, 0])


def test_nothing_is_said():
    with pytest.raises(NothingToShow, match="no entries"):
        EntryGradients(10, 0.25, 2.0).result()
    with pytest.raises(NothingToShow, match="no positives"):
        box_gradients([], mu=0.02, num_bins=10, beta=0.0)
    ignored = EntryGradients(10, 0.25, 2.0)
    ignored.add(torch.full((2, 3), torch.nan), torch.tensor([-1, -1]), SOFTMAX)
    with pytest.raises(NothingToShow):
        ignored.result()
