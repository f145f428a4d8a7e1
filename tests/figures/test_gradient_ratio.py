import numpy as np
import pytest
import torch

from imbdet.figures.class_frequency import Frequencies
from imbdet.figures.gradient_ratio import ChosenEntries
from imbdet.figures.study import NothingToShow
from imbdet.losses import EQLv2Loss


def problem(num_samples=60, num_classes=4, seed=0):
    """Scores and labels in [-1, K]; the last class has no sample."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(num_samples, num_classes, generator=generator)
    labels = torch.randint(-1, num_classes, (num_samples,), generator=generator)
    labels[labels == num_classes - 1] = num_classes
    return scores, labels


def objects(*counts):
    return Frequencies(np.array(counts), "object")


def gather(scores, labels):
    gathered = ChosenEntries(scores.shape[1])
    for part in (slice(25), slice(25, None)):
        gathered.add(scores[part], labels[part])
    return gathered


def test_entry_by_entry():
    scores, labels = problem()
    before = scores.clone()
    counts = (3, 9, 0, 1)
    numbers = gather(scores, labels).result(objects(*counts), ["a", "b", "c", "d"])
    assert torch.equal(scores, before)
    assert list(numbers.classes) == ["b", "a", "d", "c"]
    for place, k in enumerate((1, 0, 3, 2)):
        positive, negative = [], []
        for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
            if label == k:
                positive.append(1 - row[k])
            elif label >= 0:
                negative.append(row[k])
        assert numbers.frequencies.counts[place] == counts[k]
        assert (numbers.positives[place], numbers.negatives[place]) == (
            len(positive),
            len(negative),
        )
        assert numbers.pos_grads[place] == pytest.approx(sum(positive))
        assert numbers.neg_grads[place] == pytest.approx(sum(negative))
        expected = sum(positive) / sum(negative) if positive else np.nan
        assert numbers.ratios[place] == pytest.approx(expected, nan_ok=True)
    assert numbers.sentence().endswith("1 class has no chosen positive.")
    rows = numbers.table().to_pylist()
    assert [row["chosen_positives"] for row in rows] == numbers.positives.tolist()


def test_it_is_what_eqlv2_gathers_at_its_start():
    scores, labels = problem()
    loss = EQLv2Loss(4, alpha=0.0)  # all weights are 1
    logits = torch.cat([torch.logit(scores), torch.zeros(60, 1)], dim=1)
    loss(logits, labels)
    gathered = gather(scores, labels)
    np.testing.assert_allclose(gathered.pos_grads, loss.pos_grads.numpy(), rtol=1e-5)
    np.testing.assert_allclose(gathered.neg_grads, loss.neg_grads.numpy(), rtol=1e-5)


def test_the_sentence_of_a_long_tail():
    gathered = ChosenEntries(6)
    # With as many positives as objects and scores of one half the ratio is that of the numbers.
    labels = torch.repeat_interleave(torch.arange(7), torch.tensor([1, 2, 10, 20, 40, 50, 77]))
    gathered.add(torch.full((200, 6), 0.5), labels)
    numbers = gathered.result(objects(1, 2, 10, 20, 40, 50), list("abcdef"))
    rare, frequent = (np.median([n / (200 - n) for n in pair]) for pair in ((1, 2), (40, 50)))
    thirds = (
        f"{rare:.3g} in the 2 rarest classes (1 to 2 objects) and {frequent:.3g} in the 2 most "
        "frequent classes (40 to 50 objects)"
    )
    assert numbers.sentence() == (
        "The median over classes of the gradients of the positives, divided by those of the "
        f"negatives, is {thirds}; that of their numbers is {thirds}."
    )


def test_one_class():
    gathered = ChosenEntries(1)
    gathered.add(torch.tensor([[0.75], [0.5], [0.5]]), torch.tensor([0, 1, 1]))
    numbers = gathered.result(objects(1), ["a"])
    assert "negatives, is 0.25 in the only class with positives; that" in numbers.sentence()
    assert "numbers is 0.5 in the only class with positives." in numbers.sentence()
    numbers.draw().draw_without_rendering()


@pytest.mark.parametrize(
    ("scores", "labels", "reason"),
    [
        ([[0.5]], [1], "no positives"),
        ([[0.5]], [-1], "no positives"),
        ([[0.5]], [0], "no class has gradients of negatives"),
        ([[0.5], [0.0]], [0, 1], "no class has gradients of negatives"),
    ],
)
def test_what_is_not_there_is_said(scores, labels, reason):
    gathered = ChosenEntries(1)
    gathered.add(torch.tensor(scores), torch.tensor(labels))
    with pytest.raises(NothingToShow, match=reason):
        gathered.result(objects(1), ["a"])


def test_a_data_set_may_lack_the_last_classes():
    scores, labels = problem()
    numbers = gather(scores, labels).result(objects(3, 9), ["a", "b"])
    of_all = gather(scores, labels).result(objects(3, 9, 0, 0), ["a", "b", "c", "d"])
    for name in ("positives", "negatives", "pos_grads", "neg_grads"):
        assert getattr(numbers, name).tolist() == getattr(of_all, name)[:2].tolist()
