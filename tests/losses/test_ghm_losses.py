"""GHM-C and GHM-R against their definition and the published code, and identities."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from imbdet.kernels import chunks
from imbdet.losses import GHMCLoss, GHMRLoss, asl1_loss
from tests.kernels.test_entrywise import dense_cross_entropy, random_problem

GOLDEN = sorted((Path(__file__).parent / "golden").glob("ghmc__*.npz"))


class Definition:
    """The loss of a flat batch, bin by bin, with the state in plain numbers."""

    def __init__(self, bins, momentum, correct_bias):
        self.bins, self.momentum, self.correct_bias = bins, momentum, correct_bias
        self.smoothed, self.steps = [0.0] * bins, [0] * bins

    def __call__(self, losses, norms, weights=1.0):
        weights = torch.as_tensor(weights).expand_as(norms)
        losses, norms, weights = (x[weights > 0] for x in (losses, norms, weights))
        total, used = 0.0, 0
        for i in range(self.bins):
            lower, upper = i / self.bins, (i + 1) / self.bins
            members = (norms >= lower) & (norms < upper if i + 1 < self.bins else norms <= 1)
            count = float(weights[members].sum())
            if count == 0:
                continue
            used += 1
            self.steps[i] += 1
            self.smoothed[i] = self.momentum * self.smoothed[i] + (1 - self.momentum) * count
            divisor = self.smoothed[i]
            if self.correct_bias:
                divisor /= 1 - self.momentum ** self.steps[i]
            total = total + (weights * losses)[members].sum() / divisor
        return total / max(used, 1)


# Powers of 2, so that an edge is the same number however it is computed.
SETTINGS = given(
    bins=st.sampled_from([1, 4, 32]),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    correct_bias=st.booleans(),
    num_rows=st.integers(0, 30),
    seed=st.integers(0, 2**30),
    scale=st.sampled_from([0.0, 0.3, 3.0, 100.0]),
    has_weights=st.booleans(),
)


def random_weights(num_rows, seed):
    """Weights in {0, 1/2, 1, 3/2}."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(4, (num_rows,), generator=generator).double() / 2


@SETTINGS
def test_ghmc_equals_its_definition(
    bins, momentum, correct_bias, num_rows, seed, scale, has_weights
):
    module = GHMCLoss(bins, momentum, correct_bias=correct_bias)
    definition = Definition(bins, momentum, correct_bias)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_ENTRIES_CPU", 1 + seed % 40)
        for step in range(3):
            logits, labels = random_problem(num_rows, 3, seed + step, scale)
            target = F.one_hot(labels.clamp(min=0), 4)[:, :3][labels >= 0].double()
            losses = F.binary_cross_entropy_with_logits(
                logits[labels >= 0], target, reduction="none"
            )
            norms = (torch.sigmoid(logits[labels >= 0]) - target).abs().detach()
            weights = random_weights(num_rows, seed + step) if has_weights else None
            own = {} if weights is None else {"weights": weights[labels >= 0][:, None]}
            expected = definition(losses, norms, **own) + logits.sum() * 0
            loss = module(logits, labels, weights=weights).sum()
            torch.testing.assert_close(loss, expected)
            grads = [torch.autograd.grad(total, logits)[0] for total in (loss, expected)]
            torch.testing.assert_close(*grads)


@SETTINGS
def test_ghmr_equals_its_definition(
    bins, momentum, correct_bias, num_rows, seed, scale, has_weights
):
    module = GHMRLoss(0.02, bins, momentum, correct_bias=correct_bias)
    definition = Definition(bins, momentum, correct_bias)
    for step in range(3):
        generator = torch.Generator().manual_seed(seed + step)
        pred = scale * torch.randn(num_rows, 4, generator=generator, dtype=torch.float64)
        pred.requires_grad_()
        losses = (pred.square() + 0.02**2).sqrt() - 0.02
        norms = (pred.abs() / (pred.square() + 0.02**2).sqrt()).detach()
        weights = random_weights(num_rows, seed + step) if has_weights else None
        own = {} if weights is None else {"weights": weights[:, None]}
        expected = definition(losses, norms, **own) + pred.sum() * 0
        loss = module(pred, torch.zeros(num_rows, 4), weights=weights).sum()
        torch.testing.assert_close(loss, expected)
        grads = [torch.autograd.grad(total, pred)[0] for total in (loss, expected)]
        torch.testing.assert_close(*grads)


@pytest.mark.parametrize("factor", [1.0, 100.0])
def test_a_weight_is_a_repetition_and_a_common_factor_changes_nothing(factor):
    logits, labels = random_problem(40, 3, seed=0)
    deltas, zeros = logits[:, :1].expand(-1, 4), torch.zeros(40, 4)
    counts = (2 * random_weights(40, 0)).long()
    rows = torch.arange(40).repeat_interleave(counts)
    modules, other_modules = (GHMCLoss(), GHMRLoss()), (GHMCLoss(), GHMRLoss())
    for _ in range(2):
        pairs = zip(modules, [(logits, labels), (deltas, zeros)], other_modules, strict=True)
        for module, args, other in pairs:
            loss = module(*args, weights=factor * counts).sum()
            repeated = other(*(x[rows] for x in args)).sum()
            torch.testing.assert_close(loss, repeated)
            grads = [torch.autograd.grad(total, logits)[0] for total in (loss, repeated)]
            torch.testing.assert_close(*grads)


def test_weights_of_one_change_no_bit():
    logits, labels = random_problem(40, 3, seed=0)
    pred, target = logits.detach()[:, :1].expand(-1, 4), torch.zeros(40, 4)
    ones = torch.ones(40)
    assert GHMCLoss()(logits, labels, weights=ones).equal(GHMCLoss()(logits, labels))
    assert GHMRLoss()(pred, target, weights=ones).equal(GHMRLoss()(pred, target))


def test_by_hand():
    # Two bins. Norms 1/2 (positive at 0) and 1/2 (negative at 0) share the upper one, the negative
    # at -100 has the lower one for itself: (ln 2 + ln 2) / (2 * 2) + 0 / (1 * 2).
    logits = torch.tensor([[0.0], [0.0], [-100.0], [5.0]])
    losses = GHMCLoss(bins=2, momentum=0.0)(logits, torch.tensor([0, 1, 1, -1]))
    quarter = torch.tensor(2.0).log() / 4
    torch.testing.assert_close(losses, torch.stack([quarter, quarter, 0 * quarter, 0 * quarter]))


def test_a_single_bin_leaves_the_mean():
    logits, labels = random_problem(30, 2, seed=0)
    num_entries = 2 * (labels >= 0).sum()
    loss = GHMCLoss(bins=1, momentum=0.0)(logits, labels)
    torch.testing.assert_close(loss, dense_cross_entropy(logits, labels) / num_entries)
    pred, target = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    loss = GHMRLoss(bins=1, momentum=0.0)(pred, target)
    torch.testing.assert_close(loss, asl1_loss(pred, target) / 24)


def test_evaluation_weighs_as_training_would_and_keeps_the_averages():
    module = GHMCLoss()
    module(*random_problem(30, 2, seed=0))
    counts, progress = module.counts.clone(), module.progress.clone()
    evaluated = module.eval()(*random_problem(30, 2, seed=1))
    assert module.counts.equal(counts)
    assert module.progress.equal(progress)
    assert module.train()(*random_problem(30, 2, seed=1)).equal(evaluated)
    assert not module.counts.equal(counts)


def test_bias_correction_makes_the_same_batch_pay_the_same_again():
    logits, labels = random_problem(30, 2, seed=0)
    plain = GHMCLoss(momentum=0.0)(logits, labels)
    corrected, published = GHMCLoss(correct_bias=True), GHMCLoss()
    for step in range(1, 4):
        torch.testing.assert_close(corrected(logits, labels), plain)
        torch.testing.assert_close(published(logits, labels), plain / (1 - 0.75**step))


def test_without_valid_entries_the_state_stays():
    module = GHMCLoss()
    logits, labels = random_problem(30, 2, seed=0)
    module(logits, labels)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for other in (torch.full((4, 2), torch.nan), torch.zeros(0, 2)):
        other.requires_grad_()
        total = module(other, torch.full((len(other),), -1)).sum()
        total.backward()
        assert total == 0
        assert not other.grad.any()
    assert module.state_dict().keys() == before.keys() == {"counts", "progress"}
    assert all(value.equal(before[name]) for name, value in module.state_dict().items())


def test_the_state_does_not_share_memory_with_earlier_weights():
    # A second forward pass between a forward and its backward pass must not change the gradient.
    (logits, labels), other = random_problem(30, 2, seed=0), random_problem(40, 2, seed=1)
    module = GHMCLoss()
    loss = module(logits, labels).sum()
    (first,) = torch.autograd.grad(loss, logits, retain_graph=True)
    module(*other)
    (second,) = torch.autograd.grad(3 * loss, logits)
    torch.testing.assert_close(second, 3 * first)


def test_counts_stay_exact():
    module = GHMCLoss(bins=2, momentum=0.0)
    module.weigh(torch.tensor([2**24 + 1, 2**53 - 1]))
    assert module.counts.tolist() == [2**24 + 1, 2**53 - 1]


@pytest.mark.parametrize("labels", [[], [-1, -1], [0, 0], [1, 1], [0, 1, -1]])
@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("score", [-100.0, 0.0, 100.0])
def test_ghmc_corner_cases_stay_finite_and_connected(labels, num_classes, dtype, score):
    labels = torch.tensor(labels, dtype=torch.int64)
    labels[labels == 1] = num_classes
    logits = torch.full((len(labels), num_classes), score, dtype=dtype, requires_grad=True)
    total = GHMCLoss()(logits, labels).sum()
    total.backward()
    assert total.isfinite()
    assert total.dtype == torch.float32
    assert logits.grad.dtype == dtype
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("num_positives", [0, 1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("difference", [0.0, 1e-3, 100.0])
def test_ghmr_corner_cases_stay_finite_and_connected(num_positives, dtype, difference):
    deltas = torch.full((num_positives, 4), difference, dtype=dtype, requires_grad=True)
    module = GHMRLoss()
    total = module(deltas, torch.zeros(num_positives, 4, dtype=dtype)).sum()
    total.backward()
    assert total.isfinite()
    assert total.dtype == torch.float32
    assert deltas.grad.isfinite().all()
    assert module.counts.any() == (num_positives > 0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GHMCLoss(bins=0), "bins is 0: it must be at least 1"),
        (lambda: GHMCLoss(momentum=1.0), "momentum is 1.0: it must be at least 0 and below 1"),
        (lambda: GHMRLoss(momentum=-0.1), "momentum is -0.1"),
        (lambda: GHMRLoss(mu=0.0), "mu is 0.0: it must be above 0"),
        (lambda: GHMCLoss()(torch.zeros(3), torch.zeros(3).long()), "pred_logits must have"),
        (
            lambda: GHMCLoss()(torch.zeros(3, 1), torch.zeros(3).long(), weights=torch.ones(2)),
            r"weights must have the shape \(3,\), not \(2,\)",
        ),
        (
            lambda: GHMRLoss()(torch.zeros(3, 4), torch.zeros(3, 4), weights=-torch.ones(3)),
            "weights must be finite and not negative",
        ),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def shuffled_levels(num_rows, num_levels, seed):
    """A level for each row, of which some levels may have none."""
    generator = torch.Generator().manual_seed(seed)
    level_of_row = torch.randint(num_levels, (num_rows,), generator=generator)
    return [(level_of_row == level).nonzero().squeeze(1) for level in range(num_levels)]


@given(
    num_rows=st.integers(0, 40),
    num_levels=st.integers(1, 5),
    correct_bias=st.booleans(),
    seed=st.integers(0, 2**30),
)
def test_levels_are_calls_one_after_the_other(num_rows, num_levels, correct_bias, seed):
    at_once, one_by_one, boxes_at_once, boxes_one_by_one = (
        loss(correct_bias=correct_bias, by_level=by_level)
        for loss in (GHMCLoss, GHMRLoss)
        for by_level in (True, False)
    )
    for step in range(3):
        logits, labels = random_problem(num_rows, 3, seed + step)
        levels = shuffled_levels(num_rows, num_levels, seed + step)
        weights = random_weights(num_rows, seed + step) if step > 0 else None
        own = [{} if weights is None else {"weights": weights[rows]} for rows in levels]
        losses = at_once(logits, labels, levels=levels, weights=weights)
        expected = [
            one_by_one(logits[rows], labels[rows], **of_level)
            for rows, of_level in zip(levels, own, strict=True)
        ]
        for rows, of_level in zip(levels, expected, strict=True):
            torch.testing.assert_close(losses[rows], of_level)
        totals = losses.sum(), sum(of_level.sum() for of_level in expected)
        grads = [torch.autograd.grad(total, logits)[0] for total in totals]
        torch.testing.assert_close(*grads)
        assert at_once.counts.equal(one_by_one.counts)

        pred, target = logits[:, :1].repeat(1, 4).detach(), torch.zeros(num_rows, 4)
        losses = boxes_at_once(pred, target, levels=levels, weights=weights)
        for rows, of_level in zip(levels, own, strict=True):
            expected = boxes_one_by_one(pred[rows], target[rows], **of_level)
            torch.testing.assert_close(losses[rows], expected)


@pytest.mark.parametrize("loss", [GHMCLoss, GHMRLoss])
def test_levels_are_harmonised_separately_or_refused(loss):
    pred = torch.zeros(6, 4)
    target = torch.zeros(6).long() if loss is GHMCLoss else torch.zeros(6, 4)
    levels = shuffled_levels(6, 2, seed=0)
    with pytest.raises(ValueError, match="by_level is True: levels, the rows of each level, must"):
        loss(by_level=True)(pred, target)
    with pytest.raises(ValueError, match="levels are given, but by_level is False"):
        loss()(pred, target, levels=levels)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_levels_equal_published_calls(path):
    case = np.load(path)
    # The steps of a case are calls of one module: the same as the levels of one batch.
    module = GHMCLoss(case["bins"].item(), case["momentum"].item(), by_level=True)
    logits, labels = [], []
    for pred, target, valid in zip(
        case["pred"], case["target"], case["label_weight"] > 0, strict=True
    ):
        logits.append(torch.from_numpy(pred).double().reshape(-1, 1))
        labels.append(torch.from_numpy(np.where(valid, 1 - target, -1)).long().flatten())
    rows = torch.arange(sum(map(len, labels))).split([len(part) for part in labels])
    loss = module(torch.cat(logits), torch.cat(labels), levels=rows).sum()
    np.testing.assert_allclose(loss, case["loss"].sum(), rtol=1e-5)
    if case["momentum"] > 0:
        np.testing.assert_allclose(module.counts, case["acc_sum"][-1], rtol=1e-6)


def test_evaluation_by_level_weighs_as_training_would_and_keeps_the_averages():
    module = GHMCLoss(by_level=True)
    logits, labels = random_problem(30, 2, seed=0)
    levels = shuffled_levels(30, 3, seed=0)
    evaluated = module.eval()(logits, labels, levels=levels)
    assert not module.counts.any()
    assert module.train()(logits, labels, levels=levels).equal(evaluated)
