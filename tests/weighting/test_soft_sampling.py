"""Soft sampling: the curve of the negatives' weights."""

import math

import pytest
import torch

from imbdet.weighting import SoftSampling
from tests.weighting.factories import random_candidates, samples_of


def weights_of(labels, ious, **options):
    samples = samples_of(random_candidates([labels]))
    samples.ious.copy_(torch.tensor(ious))
    return SoftSampling(**options)(samples, torch.zeros(len(labels)))


def test_values():
    weights = weights_of([3, 3], [0.0, 0.2])
    # exp(-50) is nothing; 50 exp(-20 * 0.2) = 0.91578, exp(-0.91578) = 0.40020
    assert weights.cls.tolist() == pytest.approx([0.25, 0.25 + 0.75 * 0.40020], abs=1e-5)
    pure = weights_of([3, 3], [0.0, 0.2], min_weight=0)
    assert pure.cls.tolist() == pytest.approx([math.exp(-50), 0.40020], abs=1e-5)


def test_negatives_weigh_more_the_more_they_overlap():
    weights = weights_of([3] * 101, [i / 100 for i in range(101)])
    assert (weights.cls.diff() >= 0).all()
    assert weights.cls[0] == pytest.approx(0.25)
    assert weights.cls[50] > 0.99
    assert (weights.cls <= 1).all()


def test_positives_and_ignored_samples_weigh_1():
    weights = weights_of([0, 3, -1, 2], [0.1] * 4)
    assert (weights.cls == 1).tolist() == [True, False, True, True]
    assert weights.box.tolist() == [1, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    samples = samples_of(random_candidates([[3] * 20, [1]], dtype=dtype))
    weights = SoftSampling()(samples, torch.zeros(21, dtype=dtype))
    assert weights.cls.dtype == torch.float32
    assert weights.cls.isfinite().all()


@pytest.mark.parametrize("labels", [[[]], [[-1]]])
def test_nothing_to_weigh(labels):
    samples = samples_of(random_candidates(labels))
    assert (SoftSampling()(samples, torch.zeros(len(samples))).cls == 1).all()


@pytest.mark.parametrize("options", [{"min_weight": 1.1}, {"b": -1.0}, {"c": -1.0}])
def test_refuses_what_is_no_weight(options):
    with pytest.raises(ValueError, match="it must be"):
        SoftSampling(**options)
