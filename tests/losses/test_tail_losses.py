"""Losses for long tails against their definitions, entry by entry, and in corner cases."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.losses import (
    BalancedGroupLoss,
    BalancedGroups,
    ClassFrequencies,
    balanced_group_loss,
    class_balanced_weights,
    draw_federated_classes,
    draw_group_samples,
    drawn_federated_loss,
    effective_class_margin_loss,
    equalization_loss,
    federated_loss,
    frequency_adjusted_loss,
    logit_adjusted_loss,
    sigmoid_cross_entropy_loss,
    softmax_cross_entropy_loss,
)
from tests.kernels.test_entrywise import random_problem

COUNTS = [0, 3, 10, 2000, 150, 99]
BOUNDS = (10, 100, 1000)


def counts_of(num_classes):
    return torch.tensor(COUNTS[:num_classes])


def equalization(logits, labels):
    return equalization_loss(logits, labels, counts_of(logits.shape[1]) / 2500, threshold=0.02)


def equalization_entry(x, label, column, num_classes):
    if column == label:
        return math.log1p(math.exp(-x))
    is_spared = label < num_classes and COUNTS[column] / 2500 < 0.02
    return 0 if is_spared else math.log1p(math.exp(x))


def federated(logits, labels):
    return federated_loss(logits, labels, torch.arange(0, logits.shape[1], 2))


def federated_entry(x, label, column, num_classes):
    return 0 if column % 2 else math.log1p(math.exp(-x if column == label else x))


def margin(logits, labels):
    return effective_class_margin_loss(logits, labels, counts_of(logits.shape[1] - 1))


def margin_entry(x, label, column, num_classes):
    counts = [max(n, 1) for n in COUNTS[:num_classes]]
    counts.append(6.3313 * sum(counts))
    odds = (sum(counts) - counts[column]) / counts[column]
    ratio = odds**0.25
    pos, neg = math.exp(x) * (1 + 1 / ratio), math.exp(-x) * (1 + ratio)
    share = pos / (pos + neg)
    weight = odds * math.log((1 + odds) / odds)
    return -weight * math.log(share if column == label else 1 - share)


def adjusted(logits, labels):
    return logit_adjusted_loss(logits, labels, torch.arange(logits.shape[1]) + 1, tau=0.5)


def sum_of_entries(entry, num_classes):
    def row_loss(row, label):
        return sum(entry(x, label, column, num_classes) for column, x in enumerate(row))

    return row_loss


def adjusted_row(row, label):
    raised = [math.exp(x) * (column + 1) ** 0.5 for column, x in enumerate(row)]
    return -math.log(raised[label] / sum(raised))


def grouped(logits, labels):
    groups = groups_of(logits)
    generator = torch.Generator().manual_seed(0)
    return balanced_group_loss(
        logits, labels, groups, draw_group_samples(labels, groups, beta=1, generator=generator)
    )


def groups_of(logits):
    return BalancedGroups(counts_of(logits.shape[1] - 1 - len(BOUNDS) - 2), BOUNDS)


# Name, loss, loss of a row, columns beside the classes.
LOSSES = {
    "equalization": (equalization, equalization_entry, 0),
    "federated": (federated, federated_entry, 0),
    "margin": (margin, margin_entry, 1),
    "adjusted": (adjusted, None, 1),
}


@pytest.mark.parametrize("name", LOSSES)
@given(num_rows=st.integers(0, 8), num_classes=st.integers(1, 6), seed=st.integers(0, 2**31))
def test_equals_the_definition(name, num_rows, num_classes, seed):
    loss, entry, extra = LOSSES[name]
    logits, _ = random_problem(num_rows, num_classes + extra, seed)
    _, labels = random_problem(num_rows, num_classes, seed)
    row_loss = sum_of_entries(entry, num_classes) if entry else adjusted_row
    expected = [
        row_loss(row, label) if label >= 0 else 0.0
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
    ]
    losses = loss(logits, labels)
    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64))


def columns(name, num_classes):
    return num_classes + LOSSES[name][2] if name in LOSSES else num_classes + len(BOUNDS) + 3


ALL = {name: loss for name, (loss, *_) in LOSSES.items()} | {"grouped": grouped}


@pytest.mark.parametrize("name", ALL)
def test_gradcheck(name):
    logits, _ = random_problem(9, columns(name, 4), seed=0)
    _, labels = random_problem(9, 4, seed=1)
    assert torch.autograd.gradcheck(lambda x: ALL[name](x, labels), (logits,))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "labels", [[], [-1, -1], [4, 4], [0, 0, 3], [2, 4, -1]], ids=["empty", "-", "n", "p", "pn-"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("score", [-100.0, 100.0, 1e4])
def test_corner_cases_stay_finite_and_connected(name, labels, dtype, score):
    labels = torch.tensor(labels, dtype=torch.int64)
    logits = torch.full((len(labels), columns(name, 4)), score, dtype=dtype)
    logits[:, 1] *= -1
    logits[labels < 0] = math.nan
    logits.requires_grad_()
    total = ALL[name](logits, labels).sum()
    total.backward()
    assert total.dtype == torch.float32
    assert total.isfinite()
    assert logits.grad.isfinite().all()
    assert not logits.grad[labels < 0].any()


def test_without_rare_classes_and_with_all_classes_there_is_cross_entropy():
    logits, labels = random_problem(20, 5, seed=0)
    expected = sigmoid_cross_entropy_loss(logits, labels)
    torch.testing.assert_close(
        equalization_loss(logits, labels, torch.zeros(5), threshold=0), expected
    )
    torch.testing.assert_close(federated_loss(logits, labels, torch.arange(5)), expected)
    labels = labels.clamp(max=4)
    for priors, tau in [(torch.full((5,), 7), 1.0), (torch.arange(5), 0.0)]:
        torch.testing.assert_close(
            logit_adjusted_loss(logits, labels, priors, tau=tau),
            softmax_cross_entropy_loss(logits, labels),
        )


def test_weights_and_reduction():
    logits, labels = random_problem(7, 5, seed=0)
    weights = torch.rand(7, dtype=torch.float64)
    options = {"weights": weights, "reduction": "sum"}
    total = federated_loss(logits, labels, torch.arange(3), **options)
    expected = (federated_loss(logits, labels, torch.arange(3)) * weights).sum()
    torch.testing.assert_close(total, expected)


@given(
    labels=st.lists(st.integers(-1, 5), max_size=8),
    num=st.integers(1, 9),
    class_weights=st.lists(st.sampled_from([0.0, 0.5, 3.0]), min_size=5, max_size=5),
)
def test_federated_classes(labels, num, class_weights):
    own = {label for label in labels if label >= 0}
    drawn = draw_federated_classes(
        torch.tensor(labels, dtype=torch.int64), torch.tensor(class_weights), num_classes=num
    ).tolist()
    assert len(set(drawn)) == len(drawn)
    assert own - {5} <= set(drawn) <= set(range(5))
    others = set(drawn) - own
    assert all(class_weights[c] > 0 for c in others)
    possible = sum(w > 0 for c, w in enumerate(class_weights) if c not in own)
    assert len(others) == min(max(num - len(own), 0), possible)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.float16, torch.bfloat16])
def test_federated_classes_of_weights_of_any_type(dtype):
    labels, weights = torch.tensor([0, 5, -1]), torch.tensor([4, 9, 0, 1, 200])
    first, second = (
        draw_federated_classes(
            labels, numbers, num_classes=4, generator=torch.Generator().manual_seed(0)
        )
        for numbers in (weights.to(dtype), weights.float())
    )
    assert first.tolist() == second.tolist()


def test_federated_classes_are_drawn_by_their_weights():
    generator = torch.Generator().manual_seed(0)
    empty, weights = torch.zeros(0, dtype=torch.int64), torch.tensor([1.0, 3.0])
    draws = [
        draw_federated_classes(empty, weights, num_classes=1, generator=generator).item()
        for _ in range(400)
    ]
    assert 270 < sum(draws) < 330


def test_groups_by_hand():
    # Classes 0 and 1 have less than 10 samples, 2 and 5 less than 100, 4 less than 1000.
    groups = BalancedGroups(counts_of(6), BOUNDS)
    assert groups.sizes == [3, 3, 2, 2, 2]
    assert groups.num_columns == 12
    assert groups.targets.tolist() == [
        [1, 2, 0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 2, 0],
        [0, 0, 0, 0, 1, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 1],
    ]
    # All logits 0: within groups 1/3 or 1/2, times 1/2 for not being background.
    sixth, quarter = 1 / 6, 1 / 4
    scores = [sixth, sixth, sixth, quarter, quarter, sixth, 1 / 2]
    torch.testing.assert_close(groups.scores(torch.zeros(1, 12)), torch.tensor([scores]))


@given(labels=st.lists(st.integers(-1, 6), max_size=12), beta=st.sampled_from([0.0, 0.5, 2.0]))
def test_groups_draw_others_by_their_own(labels, beta):
    groups = BalancedGroups(counts_of(6), BOUNDS)
    labels = torch.tensor(labels, dtype=torch.int64)
    chosen = draw_group_samples(labels, groups, beta=beta)
    is_own = (groups.targets_of(labels) > 0) & (labels >= 0)
    assert chosen[-1].equal(labels >= 0)
    assert (chosen | ~is_own).all()
    assert not chosen[:, labels < 0].any()
    for own, row in zip(is_own[:-1].sum(dim=1).tolist(), chosen[:-1], strict=True):
        assert row.sum() == min(own + int(beta * own), int((labels >= 0).sum())) * (own > 0)


def test_group_losses_by_hand():
    # One class of 5 samples, uniform over [others, class] and over [others, background].
    groups = BalancedGroups(torch.tensor([5]), bounds=())
    samples = torch.tensor([[True, False, True], [True, True, True]])
    losses = balanced_group_loss(torch.zeros(3, 4), torch.tensor([0, 1, 1]), groups, samples)
    ln2 = math.log(2)
    torch.testing.assert_close(losses, ln2 * torch.tensor([1 / 2 + 1 / 3, 1 / 3, 1 / 2 + 1 / 3]))


@pytest.mark.parametrize("factor", [1, 100])
def test_group_losses_are_means_by_the_weights(factor):
    groups = BalancedGroups(torch.tensor([5, 20]), bounds=[10])
    logits, labels = random_problem(12, groups.num_columns, seed=0)
    labels = labels.clamp(max=2)
    samples = draw_group_samples(labels, groups, beta=1)
    counts = torch.tensor([0, 1, 2, 3]).repeat(3)
    rows = torch.arange(12).repeat_interleave(counts)
    loss = balanced_group_loss(logits, labels, groups, samples, weights=factor * counts)
    expected = balanced_group_loss(logits[rows], labels[rows], groups, samples[:, rows])
    torch.testing.assert_close(loss, torch.zeros_like(loss).index_add(0, rows, expected))
    plain = balanced_group_loss(logits, labels, groups, samples)
    ones = balanced_group_loss(logits, labels, groups, samples, weights=torch.ones(12))
    assert ones.equal(plain)


@given(
    counts=st.lists(st.integers(0, 10**7), max_size=6),
    beta=st.sampled_from([0.0, 0.9, 0.9999, 1 - 1e-12]),
)
def test_class_balanced_weights(counts, beta):
    weights = class_balanced_weights(torch.tensor(counts, dtype=torch.float64), beta=beta)
    inverse = [1 / ((1 - beta ** max(n, 1)) / (1 - beta)) for n in counts]
    expected = [len(counts) * w / sum(inverse) for w in inverse]
    torch.testing.assert_close(
        weights, torch.tensor(expected, dtype=torch.float64), rtol=1e-3, atol=0
    )


def test_losses_by_the_training_data_are_those_of_what_follows_from_it():
    images, instances = counts_of(5), torch.tensor([0, 9, 10, 2000, 150])
    logits, labels = random_problem(20, 5, seed=0)
    draw = {"num_classes": 4, "generator": torch.Generator().manual_seed(1)}
    classes = draw_federated_classes(labels, images**0.5, **draw)
    draw["generator"].manual_seed(1)
    torch.testing.assert_close(
        drawn_federated_loss(logits, labels, images, power=0.5, **draw),
        federated_loss(logits, labels, classes),
    )

    logits, _ = random_problem(20, 6, seed=0)
    priors = torch.tensor([1.0, 9, 10, 2000, 150, 3 * 2170])
    torch.testing.assert_close(
        frequency_adjusted_loss(logits, labels, instances, tau=0.5),
        logit_adjusted_loss(logits, labels, priors, tau=0.5),
    )

    groups = BalancedGroups(instances)
    logits, _ = random_problem(20, groups.num_columns, seed=0)
    module = BalancedGroupLoss(5, beta=0.5)
    module.frequencies.learn(ClassFrequencies(9999, images, instances))
    generator = torch.Generator().manual_seed(1)
    samples = draw_group_samples(labels, groups, beta=0.5, generator=generator)
    torch.testing.assert_close(
        module(logits, labels, generator=generator.manual_seed(1)),
        balanced_group_loss(logits, labels, groups, samples),
    )


def test_bad_input():
    logits, labels = torch.zeros(2, 3), torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"frequencies must have the shape \(3,\), not \(2,\)"):
        equalization_loss(logits, labels, torch.zeros(2))
    with pytest.raises(ValueError, match="counts must be 0 or more for every class"):
        effective_class_margin_loss(logits, labels, torch.tensor([1, -1]))
    with pytest.raises(ValueError, match="counts must be 0 or more for every class"):
        class_balanced_weights(torch.tensor([math.nan]))
    with pytest.raises(ValueError, match=r"priors must have the shape \(3,\)"):
        logit_adjusted_loss(logits, labels, torch.ones(2))
    with pytest.raises(ValueError, match="class_weights must be finite"):
        draw_federated_classes(labels, torch.tensor([1, math.inf]))
    groups = BalancedGroups(torch.tensor([5, 5]), bounds=())
    with pytest.raises(ValueError, match="must have 5 columns, not 3"):
        balanced_group_loss(logits, labels, groups, torch.ones(2, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"samples must have the shape \(2, 2\)"):
        balanced_group_loss(torch.zeros(2, 5), labels, groups, torch.ones(2, dtype=torch.bool))
