"""Prime samples against their definition, and the rules of a sampler."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.ops.boxes import paired_iou
from imbdet.samplers import IoUHLRPositives, QuotaSampler, ScoreHLRNegatives
from tests.ops.test_local_rank import definition as ranks_by_definition
from tests.ops.test_nms import definition as clusters_by_definition
from tests.weighting.factories import random_candidates

LABELS = st.lists(st.lists(st.integers(-1, 3), max_size=40), min_size=1, max_size=3)


def negatives_of(candidates, image):
    is_negative = candidates.gt_labels == candidates.num_classes
    return (is_negative & (candidates.image_idxs == image)).nonzero().squeeze(1)


def positives_of(candidates, image):
    return candidates.pos_idxs[candidates.image_idxs[candidates.pos_idxs] == image]


@given(labels=LABELS, quota=st.integers(0, 30), seed=st.integers(0, 3))
def test_negatives_equal_the_definition(labels, quota, seed):
    candidates = random_candidates(labels, seed=seed)
    pool = negatives_of(candidates, image=len(labels) - 1)
    pick = ScoreHLRNegatives()(candidates, pool, quota)

    scores = {i: candidates.outputs.scores[i].max().item() for i in pool.tolist()}
    ranked = [i for i in pool.tolist() if scores[i] > 0.05]
    classes = candidates.outputs.scores[ranked].argmax(dim=1)
    boxes = candidates.decode(torch.tensor(ranked, dtype=torch.int64), classes)
    values = [scores[i] for i in ranked]
    ranks = ranks_by_definition(
        values, clusters_by_definition(boxes, values, 0.5), [0] * len(ranked)
    )
    prime = [i for _, i in sorted(zip(ranks, ranked, strict=True))][:quota]
    assert pick.idxs[: len(prime)].tolist() == prime

    size = min(quota, len(pool))
    assert len(pick.idxs) == len(pick.importance) == size
    assert set(pick.idxs.tolist()) <= set(pool.tolist())
    assert len(pick.idxs.unique()) == size
    num_ranks = max(size, len(ranked))
    importance = [1 - rank / num_ranks for rank in range(len(prime))]
    importance += [min(importance, default=1.0)] * (size - len(prime))
    assert pick.importance.tolist() == pytest.approx(importance)


def test_negatives_without_a_score_are_random_and_equal():
    candidates = random_candidates([[3] * 40])
    candidates.outputs.scores.fill_(0.05)  # the threshold itself is not above it
    first, second, third = (
        ScoreHLRNegatives()(candidates, torch.arange(40), 8, torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert first.importance.tolist() == [1] * 8
    assert torch.equal(first.idxs, second.idxs)
    assert not torch.equal(first.idxs, third.idxs)


@given(labels=LABELS, quota=st.integers(0, 30), seed=st.integers(0, 3))
def test_positives_equal_the_definition(labels, quota, seed):
    candidates = random_candidates(labels, seed=seed)
    pool = positives_of(candidates, image=0)
    gt_idxs, classes = candidates.gt_idxs[pool], candidates.gt_labels[pool]
    boxes = candidates.decode(pool, classes)
    ious = paired_iou(boxes, candidates.targets.boxes[gt_idxs]).tolist()
    ranks = ranks_by_definition(ious, gt_idxs.tolist(), [0] * len(pool))
    expected = [i for _, i in sorted(zip(ranks, pool.tolist(), strict=True))][:quota]
    pick = IoUHLRPositives()(candidates, pool, quota)
    assert pick.idxs.tolist() == expected
    assert pick.importance is None


def test_positives_spread_over_the_objects():
    candidates = random_candidates([[0] * 10 + [1] * 10 + [2] * 10])
    pick = IoUHLRPositives()(candidates, torch.arange(30), 6)
    assert len(candidates.gt_idxs[pick.idxs].unique()) == 6  # two objects of each class


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_together_on_a_batch(dtype):
    candidates = random_candidates([[0] * 9 + [3] * 60, [], [-1, 2, 3, 3]], dtype=dtype)
    sampler = QuotaSampler(
        IoUHLRPositives(), ScoreHLRNegatives(), batch_size_per_image=16, positive_fraction=0.25
    )
    assert sampler.needs == {"outputs"}
    choice = sampler(candidates)
    assert choice.num_per_image == [16, 0, 3]
    assert (candidates.gt_labels[choice.idxs] >= 0).all()
    assert choice.importance.isfinite().all()
    assert (choice.importance > 0).all()
    assert (choice.importance[:4] == 1).all()


@given(labels=LABELS, quota=st.integers(0, 30), seed=st.integers(0, 3))
def test_a_batch_is_as_its_images_one_by_one(labels, quota, seed):
    candidates = random_candidates(labels, seed=seed)
    at_once = IoUHLRPositives(), ScoreHLRNegatives()
    # Plain functions, which take one pool at a time.
    one_by_one = [partial(sampler) for sampler in at_once]
    found, expected = (
        QuotaSampler(*samplers, batch_size_per_image=quota, positive_fraction=0.25)(
            candidates, torch.Generator().manual_seed(seed)
        )
        for samplers in (at_once, one_by_one)
    )
    assert found.idxs.equal(expected.idxs)
    assert found.importance.equal(expected.importance)
    assert found.num_per_image == expected.num_per_image


def test_thousands_of_proposals():
    candidates = random_candidates([[0] * 500 + [3] * 4500])
    pick = ScoreHLRNegatives()(candidates, negatives_of(candidates, image=0), 384)
    assert len(pick.idxs.unique()) == 384
    assert len(IoUHLRPositives()(candidates, torch.arange(500), 128).idxs.unique()) == 128


@pytest.mark.parametrize("options", [{"score_thresh": -0.1}, {"iou_thresh": 1.5}])
def test_refuses_what_is_no_threshold(options):
    with pytest.raises(ValueError, match="must be from 0 to 1"):
        ScoreHLRNegatives(**options)
