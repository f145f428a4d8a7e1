"""The losses that are references of ours give the same numbers, in float64 to 1e-9."""

import pytest
import torch

from imbdet.losses import ap_loss, rank_sort_loss
from tests.losses.ranking_problems import DELTAS
from tests.test_configs import CONFIGS

NUM_CLASSES = 6


@pytest.fixture
def references(monkeypatch):
    monkeypatch.syspath_prepend(str(CONFIGS.parent / "benchmarks"))
    import references

    return references


def random_problem(seed):
    """Logits, labels and IoUs of which some are equal."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(80, NUM_CLASSES, generator=generator, dtype=torch.float64)
    labels = torch.full((80,), NUM_CLASSES)
    labels[::5] = torch.randint(NUM_CLASSES, (16,), generator=generator)
    ious = torch.rand(16, generator=generator, dtype=torch.float64)
    return logits, labels, (4 * ious).round() / 4


def bucketed_exactly(seed):
    """The same, but the negatives between neighbouring positives have one score."""
    logits, labels, ious = random_problem(seed)
    rows = (labels < NUM_CLASSES).nonzero().squeeze(1)
    positives = logits[rows, labels[rows]]
    ends = positives.sort().values
    centres = torch.cat([ends[:1] - 0.2, (ends[1:] + ends[:-1]) / 2, ends[-1:] + 0.3])
    logits = centres[torch.bucketize(logits, ends)]
    logits[rows, labels[rows]] = positives
    return logits, labels, ious


def value_and_grad(loss, logits, *others):
    logits = logits.clone().requires_grad_()
    value = loss(logits, *others)
    return value.detach(), torch.autograd.grad(3 * value, logits)[0]


def assert_equal(reference, loss, problem):
    found, expected = (value_and_grad(f, *problem) for f in (reference, loss))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def losses(references, kind, delta):
    """Pairs of a reference and the loss that it should equal."""
    return {
        "ap": (
            lambda x, y, q: getattr(references, f"{kind}_ap_loss")(x, y, delta=delta),
            # The bucketed algorithm does not interpolate.
            lambda x, y, q: ap_loss(x, y, delta=delta, interpolated=kind != "bucketed"),
        ),
        "rank_sort": (
            lambda x, y, q: getattr(references, f"{kind}_rank_sort_loss")(x, y, q, delta=delta),
            lambda x, y, q: sum(rank_sort_loss(x, y, q, delta=delta)),
        ),
    }


@pytest.mark.parametrize("name", ["ap", "rank_sort"])
@pytest.mark.parametrize("delta", DELTAS)
def test_the_loop_over_pairs(references, delta, name):
    for seed in range(3):
        assert_equal(*losses(references, "pair_loop", delta)[name], random_problem(seed))


@pytest.mark.parametrize("name", ["ap", "rank_sort"])
@pytest.mark.parametrize("delta", DELTAS)
def test_buckets_within_which_no_step_bends(references, delta, name):
    for seed in range(3):
        assert_equal(*losses(references, "bucketed", delta)[name], bucketed_exactly(seed))


@pytest.mark.parametrize("name", ["ap", "rank_sort"])
def test_any_buckets_of_hard_steps(references, name):
    for seed in range(3):
        assert_equal(*losses(references, "bucketed", 0.0)[name], random_problem(seed))


def test_a_bucket_within_which_a_step_bends_is_an_approximation(references):
    # H(1/2) + H(4) = 3/4 + 1, but both scores become 9/4, whose step is 1.
    logits, labels = torch.tensor([[0.0], [0.5], [4.0]]), torch.tensor([0, 1, 1])
    exact = ap_loss(logits, labels, interpolated=False)
    assert exact == pytest.approx(1.75 / 2.75)
    assert references.bucketed_ap_loss(logits, labels) == pytest.approx(2 / 3)
