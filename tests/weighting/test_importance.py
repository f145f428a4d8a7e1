"""ISR against its definition in loops, and the sums that it must keep."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.losses import focal_loss, sigmoid_cross_entropy_loss, softmax_cross_entropy_loss
from imbdet.weighting import (
    ImportanceNegatives,
    ImportancePositives,
    SoftSampling,
    WeightingProduct,
    Weights,
    importance_weights,
)
from tests.equality.matrix import read_case
from tests.equality.sampling import samples_of_isr
from tests.ops.test_local_rank import definition as ranks_by_definition
from tests.weighting.factories import random_candidates, samples_of

GOLDEN = Path(__file__).parent / "golden"
LABELS = st.lists(st.lists(st.integers(-1, 3), max_size=30), min_size=1, max_size=4)


def fixed(factors):
    """A weighting that gives these factors of the classification losses."""
    return lambda samples, cls_losses: Weights(factors, torch.ones(len(samples.pos_idxs)))


def test_weights_that_were_there_multiply():
    # Published inside the power and so squared; ours multiply the weights of the same ranks.
    case = read_case(GOLDEN / "isr_p__medium_label_weights.npz")
    samples, existing = samples_of_isr(case), case["label_weights_in"]
    losses = softmax_cross_entropy_loss(samples.pred_logits, samples.gt_labels)
    isr = ImportancePositives(k=case["k"], bias=case["bias"])
    weights = WeightingProduct(fixed(existing), isr)(samples, losses).cls
    rows = samples.pos_idxs
    factors = ((case["max_l_num"] - case["iou_hlr"]) / case["max_l_num"]) ** case["k"]
    ratio = (existing * losses)[rows].sum() / (existing[rows] * factors * losses[rows]).sum()
    torch.testing.assert_close(weights[rows], existing[rows] * factors * ratio)


def positives_by_definition(samples, losses, k, bias):
    rows = samples.pos_idxs.tolist()
    labels = samples.gt_labels[rows].tolist()
    ranks = ranks_by_definition(
        samples.positives.pred_ious.tolist(), samples.gt_idxs[rows].tolist(), labels
    )
    largest = max((labels.count(label) for label in labels), default=0)
    weights = [((1 - bias) * (largest - rank) / largest + bias) ** k for rank in ranks]
    total = sum(losses[row] for row in rows)
    weighted = sum(losses[row] * weight for row, weight in zip(rows, weights, strict=True))
    expected = torch.ones(len(samples))
    for row, weight in zip(rows, weights, strict=True):
        expected[row] = weight * total / weighted
    return expected


@given(labels=LABELS, seed=st.integers(0, 5), k=st.sampled_from([0.5, 1, 2]), bias=st.floats(0, 1))
def test_positives_equal_the_definition(labels, seed, k, bias):
    samples = samples_of(random_candidates(labels, seed=seed))
    losses = torch.rand(len(samples), generator=torch.Generator().manual_seed(seed)) + 0.1
    weights = ImportancePositives(k=k, bias=bias)(samples, losses)
    expected = positives_by_definition(samples, losses.tolist(), k, bias)
    torch.testing.assert_close(weights.cls, expected, rtol=1e-5, atol=1e-6)
    assert weights.box.tolist() == [1] * len(samples.pos_idxs)


def ranked_samples(labels, num_columns=3, **options):
    """Samples whose importance falls from row to row."""
    candidates = random_candidates(labels, **options)
    importance = torch.linspace(1, 0.01, len(candidates))
    return samples_of(candidates, num_columns=num_columns, importance=importance)


def per_image(samples, values):
    return torch.stack([v.sum() for v in values.split(list(samples.num_per_image))])


@pytest.mark.parametrize(
    ("loss", "num_columns"),
    [(softmax_cross_entropy_loss, 4), (sigmoid_cross_entropy_loss, 3), (focal_loss, 3)],
)
def test_totals_stay(loss, num_columns):
    labels = [[0, 0, 0, 1, 3, 3, 3, -1], [3, 3], [], [2, 2, 1, 1]]
    samples = ranked_samples(labels, num_columns)
    losses = loss(samples.pred_logits, samples.gt_labels).detach()
    positive = ImportancePositives()(samples, losses).cls
    negative = ImportanceNegatives()(samples, losses).cls
    both = WeightingProduct(ImportanceNegatives(), ImportancePositives())(samples, losses).cls
    is_negative = samples.gt_labels == 3
    assert (positive[is_negative] == 1).all()
    assert (negative[~is_negative] == 1).all()
    for weights in (positive, negative, both):
        assert len(weights.unique()) > 3
        torch.testing.assert_close((weights * losses).sum(), losses.sum(), rtol=1e-5, atol=0)
    torch.testing.assert_close(
        per_image(samples, negative * losses), per_image(samples, losses), rtol=1e-5, atol=0
    )


def test_negatives_follow_the_importance():
    # One image of equal losses: factors ((1 - 0.5) u + 0.5) for u = 1, 0.6 are 1, 0.8; mean 0.9.
    samples = samples_of(random_candidates([[3, 3], [1]]), importance=torch.tensor([1, 0.6, 1]))
    weights = ImportanceNegatives(k=1, bias=0.5)(samples, torch.ones(3))
    assert weights.cls.tolist() == pytest.approx([1 / 0.9, 0.8 / 0.9, 1])


def test_negatives_need_importance():
    with pytest.raises(ValueError, match="needs samples with importance"):
        ImportanceNegatives()(samples_of(random_candidates([[3]])), torch.ones(1))


def test_a_product_keeps_the_total_it_finds():
    samples = ranked_samples([[0, 0, 1, 3, 3], [2, 3, 3, 3]])
    losses = sigmoid_cross_entropy_loss(samples.pred_logits, samples.gt_labels).detach()
    soft = SoftSampling()
    weights = WeightingProduct(soft, ImportanceNegatives(), ImportancePositives())(samples, losses)
    expected = per_image(samples, losses * soft(samples, losses).cls)
    torch.testing.assert_close((weights.cls * losses).sum(), expected.sum(), rtol=1e-5, atol=0)
    doubled = WeightingProduct(lambda samples, _: Weights(losses, torch.full((4,), 2.0)), soft)
    assert doubled(samples, losses).box.tolist() == [2] * 4
    assert torch.equal(doubled(samples, losses).cls, losses * soft(samples, losses).cls)


@pytest.mark.parametrize("weighting", [ImportancePositives(), ImportanceNegatives()])
@pytest.mark.parametrize("value", [0.0, float("inf"), float("nan")])
def test_losses_without_a_total_leave_the_weights_at_1(weighting, value):
    samples = ranked_samples([[0, 0, 1, 3, 3, 3]])
    weights = weighting(samples, torch.full((6,), value))
    assert weights.cls.tolist() == [1] * 6


def test_a_total_that_no_factor_restores_leaves_the_weights_at_1():
    # The only loss is that of the less important of two; 0.5^10000 is 0.
    samples = samples_of(random_candidates([[3, 3]]), importance=torch.tensor([1, 0.5]))
    weights = ImportanceNegatives(k=10_000)(samples, torch.tensor([0.0, 1.0]))
    assert weights.cls.tolist() == [1, 1]


def test_an_image_without_loss_leaves_the_others():
    samples = ranked_samples([[3, 3], [3, 3]])
    weights = ImportanceNegatives()(samples, torch.tensor([0.0, 0.0, 1.0, 1.0])).cls
    assert weights[:2].tolist() == [1, 1]
    assert weights[2] > 1 > weights[3]


@pytest.mark.parametrize("labels", [[[]], [[-1]], [[3]], [[0]], [[3], [0]]])
def test_hardly_any_sample(labels):
    samples = ranked_samples(labels)
    for weighting in (ImportancePositives(), ImportanceNegatives()):
        weights = weighting(samples, torch.ones(len(samples)))
        assert weights.cls.tolist() == [1] * len(samples)
        assert weights.box.tolist() == [1] * len(samples.pos_idxs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    samples = ranked_samples([[0] * 200 + [3] * 200], dtype=dtype)
    losses = torch.full((400,), 1000.0, dtype=dtype)  # their sum overflows in float16
    weights = WeightingProduct(ImportancePositives(), ImportanceNegatives())(samples, losses)
    assert weights.cls.dtype == torch.float32
    assert (weights.cls * losses).sum().item() == pytest.approx(4e5, rel=1e-3)
    assert len(weights.cls.unique()) > 200


def test_weights_carry_no_gradient():
    samples = ranked_samples([[0, 0, 3, 3]])
    weights = ImportancePositives()(samples, torch.ones(4))
    assert not weights.cls.requires_grad
    assert not weights.box.requires_grad


def test_ties_are_ordered_by_row():
    # One object whose positives have all the same IoU: u = 1, 2/3, 1/3; squared 9, 4, 1 of 14.
    samples = samples_of(random_candidates([[0, 0, 0]]))
    samples.gt_idxs.fill_(0)
    samples.positives.pred_ious.fill_(0.5)
    weights = ImportancePositives()(samples, torch.ones(3))
    assert weights.cls.tolist() == pytest.approx([27 / 14, 12 / 14, 3 / 14])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": -1, "bias": 0}, "k is -1: it must be"),
        ({"k": 1, "bias": 1.5}, "bias is 1.5: it must"),
    ],
)
def test_refuses_what_is_no_weight(options, message):
    with pytest.raises(ValueError, match=message):
        importance_weights(torch.ones(2), **options)
