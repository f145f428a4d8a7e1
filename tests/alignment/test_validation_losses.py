"""Which entries of a detector are right, and the validation losses of these entries."""

import math

import pytest
import torch
from torch.nn import functional as F

from imbdet.alignment.entries import Entries, find_entries
from imbdet.alignment.validation_losses import likelihood, of_objects, ranking
from imbdet.losses import ap_loss
from imbdet.structures import Outputs, Priors, Targets
from imbdet.structures.classifiers import SIGMOID, SOFTMAX


class Shift:
    """A box transform that adds deltas to the corners."""

    def apply_deltas(self, deltas, boxes):
        return boxes + deltas


def square(x, size=10.0):
    return [x, 0.0, x + size, size]


def make_entries(log_odds, ious, gt_idxs, is_counted=None):
    log_odds = torch.tensor(log_odds, dtype=torch.float64)[:, None].requires_grad_()
    is_counted = [True] * len(ious) if is_counted is None else is_counted
    return Entries(
        log_odds,
        torch.tensor(ious)[:, None],
        torch.tensor(gt_idxs)[:, None],
        torch.tensor(is_counted)[:, None],
    )


def gradient(loss, entries):
    return torch.autograd.grad(loss, entries.log_odds)[0].flatten()


@pytest.mark.parametrize("classifier", [SIGMOID, SOFTMAX], ids=["sigmoid", "softmax"])
@pytest.mark.parametrize("by_class", [False, True])
def test_an_entry_is_as_right_as_the_box_that_it_predicts(classifier, by_class):
    # Two images that share their priors; the object of the second has class 1.
    targets = Targets(
        torch.tensor([square(0.0), square(20.0), square(4.0)]), torch.tensor([0, 0, 1]), [2, 1]
    )
    priors = Priors(torch.tensor([square(2.0), square(100.0), square(20.0)]))
    deltas = torch.zeros(6, 4)
    deltas[0] = torch.tensor([-2.0, 0.0, -2.0, 0.0])  # from 2 to 0
    logits = torch.randn(6, 2 + classifier.num_extra, generator=torch.Generator().manual_seed(0))
    outputs = Outputs(
        logits,
        deltas=deltas.repeat(1, 2) if by_class else deltas,
        box2box_transform=Shift(),
        classifier=classifier,
    )
    entries = find_entries(outputs, priors, targets)
    torch.testing.assert_close(entries.log_odds.sigmoid(), classifier.scores(logits.double()))
    expected = [[1.0, 0], [0, 0], [1, 0], [0, 8 / 12], [0, 0], [0, 0]]  # 2 to 12 with 4 to 14
    torch.testing.assert_close(entries.ious, torch.tensor(expected))
    assert entries.gt_idxs[:, 0].tolist() == [0, 0, 1, -1, -1, -1]
    assert entries.gt_idxs[:, 1].tolist() == [-1, -1, -1, 2, 2, 2]
    assert entries.is_counted.all()


def test_in_an_ignored_region_only_what_is_right_counts():
    outputs = Outputs(torch.zeros(2, 1), deltas=torch.zeros(2, 4), box2box_transform=Shift())
    priors = Priors(torch.tensor([square(0.0), square(50.0)]))
    targets = Targets(torch.tensor([square(0.0)]), torch.tensor([0]), [1])
    entries = find_entries(outputs, priors, targets, torch.tensor([True, True]))
    assert entries.is_counted.flatten().tolist() == [True, False]


def test_likelihood_by_hand():
    # 0.72 passes the thresholds 0.5, 0.55, 0.6, 0.65 and 0.7.
    entries = make_entries([0.3, -2.0, 1.0], [0.72, 0.4, 0.9], [0, 0, 1], [True, True, False])
    p, q = (1 / (1 + math.exp(-x)) for x in (0.3, -2.0))
    expected = -0.5 * math.log(p) - 0.5 * math.log(1 - p) - math.log(1 - q)
    assert likelihood(entries).item() == pytest.approx(expected)
    # A proper scoring rule has no gradient where scores are the probabilities.
    torch.testing.assert_close(
        gradient(likelihood(entries), entries), torch.tensor([p - 0.5, q, 0], dtype=torch.float64)
    )


def test_a_rule_that_pays_the_validation_loss_has_its_gradient():
    entries = make_entries([0.3, -2.0, 1.0], [1.0, 0.0, 1.0], [0, 0, 1])
    labels = torch.tensor([[1.0], [0.0], [1.0]], dtype=torch.float64)
    own = F.binary_cross_entropy_with_logits(entries.log_odds, labels, reduction="sum")
    torch.testing.assert_close(
        gradient(own, entries), gradient(likelihood(entries), entries), atol=1e-7, rtol=0
    )


def test_ranking_is_one_minus_ap_at_each_threshold():
    # In the order of the scores: right up to 0.95, wrong, right up to 0.5. Precisions 1 and 2/3.
    entries = make_entries([9.0, 5.0, 0.0], [1.0, 0.0, 0.52], [0, 0, 1])
    expected = 1 - (1 + 2 / 3) / 2  # at 0.5; at all others the first alone is right
    assert ranking(entries).item() == pytest.approx(expected)


def test_entries_that_are_right_about_an_object_share_its_weight():
    entries = make_entries([0.0, 1.0, 2.0, 5.0, 9.0], [0.52] * 3 + [0.0, 0.52], [0, 0, 0, 0, 1])
    labels, weights = torch.tensor([0, 0, 0, 1, 0]), torch.tensor([1 / 3] * 3 + [1.0, 1.0])
    expected = ap_loss(entries.log_odds, labels, weights=weights.double())
    assert ranking(entries).item() == pytest.approx(expected.item())
    torch.testing.assert_close(gradient(ranking(entries), entries), gradient(expected, entries))


def test_without_anything_right_the_ranking_has_no_gradient():
    entries = make_entries([0.0, 5.0], [0.2, 0.0], [0, 0])
    assert not gradient(ranking(entries), entries).any()


def test_what_is_right_about_other_objects_is_ignored():
    entries = make_entries([0.0, 1.0, 2.0], [0.9, 0.9, 0.1], [0, 1, 1])
    found = of_objects(entries, torch.tensor([True, False]))
    assert found.is_counted.flatten().tolist() == [True, False, True]
    none = make_entries([0.0], [0.0], [-1])
    assert of_objects(none, torch.zeros(0, dtype=torch.bool)).is_counted.all()
