"""Scores from logits, against definitions for a row, and in corner cases."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.losses.balanced_groups import BalancedGroups, GroupSoftmax
from imbdet.structures.classifiers import (
    OBJECTNESS_SOFTMAX,
    SIGMOID,
    SIGMOID_BESIDE_BACKGROUND,
    SOFTMAX,
)

NUM_CLASSES = 3
GROUPS = BalancedGroups(torch.tensor([5, 2000, 7]))  # sizes 3, 1, 1, 2 and 2


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def softmax(row):
    total = sum(math.exp(x) for x in row)
    return [math.exp(x) / total for x in row]


def sigmoid_row(row):
    return [sigmoid(x) for x in row], 0.5


def beside_background_row(row):
    *classes, background = row
    return [sigmoid(x) * (1 - sigmoid(background)) for x in classes], sigmoid(background)


def softmax_row(row):
    *scores, background = softmax(row)
    return scores, background


def objectness_row(row):
    *classes, is_object, is_background = row
    is_object, is_background = softmax([is_object, is_background])
    return [score * is_object for score in softmax(classes)], is_background


def group_row(row):
    _, first, third = softmax(row[:3])
    _, second = softmax(row[5:7])
    is_object, is_background = softmax(row[7:])
    return [score * is_object for score in (first, second, third)], is_background


# Classifiers, the scores of a row, and what the background must exceed or reach.
CLASSIFIERS = {
    "sigmoid": (SIGMOID, sigmoid_row),
    "softmax": (SOFTMAX, softmax_row),
    "sigmoid beside background": (SIGMOID_BESIDE_BACKGROUND, beside_background_row),
    "softmax and objectness": (OBJECTNESS_SOFTMAX, objectness_row),
    "softmax of groups": (GroupSoftmax(lambda: GROUPS, 5), group_row),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
@given(num_rows=st.integers(0, 5), seed=st.integers(0, 2**31))
def test_scores_are_their_definition(name, num_rows, seed):
    classifier, row_scores = CLASSIFIERS[name]
    generator = torch.Generator().manual_seed(seed)
    num_columns = NUM_CLASSES + classifier.num_extra
    logits = 2 * torch.randn(num_rows, num_columns, generator=generator, dtype=torch.float64)
    rows = [row_scores(row) for row in logits.tolist()]
    expected = torch.tensor([scores for scores, _ in rows], dtype=torch.float64)
    expected = expected.reshape(num_rows, NUM_CLASSES)
    torch.testing.assert_close(classifier.scores(logits), expected)
    best = expected.argmax(dim=1)
    assert classifier.best_classes(logits).equal(best)
    for shift in range(NUM_CLASSES):
        classes = (best + shift) % NUM_CLASSES
        scores = classifier.scores_of(classes, logits)
        torch.testing.assert_close(scores, expected.gather(1, classes[:, None]).squeeze(1))
    predicted = classifier.predict(logits).tolist()
    for (scores, background), label in zip(rows, predicted, strict=True):
        is_background = max(scores) < background
        assert label == (NUM_CLASSES if is_background else scores.index(max(scores)))
        assert math.isclose(sum(scores) + background, 1) == classifier.sums_to_one


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_scores_of_half_precision_are_those_of_their_float32(name, dtype):
    classifier, _ = CLASSIFIERS[name]
    generator = torch.Generator().manual_seed(0)
    logits = 9 * torch.randn(50, NUM_CLASSES + classifier.num_extra, generator=generator)
    logits, classes = logits.to(dtype), torch.arange(50) % NUM_CLASSES
    scores, wide = (classifier.scores(x) for x in (logits, logits.float()))
    torch.testing.assert_close(scores, wide, rtol=0, atol=0)
    of_classes, wide = (classifier.scores_of(classes, x) for x in (logits, logits.float()))
    torch.testing.assert_close(of_classes, wide, rtol=0, atol=0)


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("value", [-1e4, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_extreme_logits_have_scores(name, value, dtype):
    classifier, _ = CLASSIFIERS[name]
    logits = torch.full((2, NUM_CLASSES + classifier.num_extra), value, dtype=dtype)
    logits[:, 0] *= -1
    logits.requires_grad_()
    scores = classifier.scores_of(torch.tensor([0, 1]), logits)
    assert scores.dtype == torch.float32
    for values in (classifier.scores(logits), scores):
        assert ((values >= 0) & (values <= 1)).all()
    scores.sum().backward()
    assert logits.grad.isfinite().all()
