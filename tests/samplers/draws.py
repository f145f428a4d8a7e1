"""Helpers of the samplers' tests: candidates, many draws, and probabilities of draws."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests import flow

GOLDEN = Path(__file__).parent / "golden"
NUM_CLASSES = 3


def golden_cases(method):
    paths = sorted(GOLDEN.glob(f"{method}__*.npz"))
    assert paths
    return pytest.mark.parametrize(
        "case", [np.load(path) for path in paths], ids=[path.stem for path in paths]
    )


def make_candidates(gt_idxs, ious=None, losses=None, boxes=None):
    """One image; ``gt_idxs`` are -1 for negatives and -2 for ignored candidates."""
    gt_idxs = torch.as_tensor(gt_idxs, dtype=torch.int64)
    labels = torch.where(gt_idxs >= 0, 0, NUM_CLASSES).masked_fill(gt_idxs == -2, -1)
    return flow.make_candidates(
        labels,
        gt_idxs.clamp(min=-1),
        num_classes=NUM_CLASSES,
        ious=None if ious is None else torch.as_tensor(ious),
        boxes=None if boxes is None else torch.as_tensor(boxes),
        cls_losses=None if losses is None else torch.as_tensor(losses),
    )


def count_picks(sampler, candidates, pool, quota, draws):
    """(M,) how often each candidate is picked."""
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(len(candidates))
    for _ in range(draws):
        counts[sampler(candidates, pool, quota, generator).idxs] += 1
    return counts.numpy()


def assert_frequencies(counts, draws, probabilities):
    """Assert that each count is within five standard errors of its probability."""
    errors = np.sqrt(draws * probabilities * (1 - probabilities))
    assert (np.abs(counts - draws * probabilities) <= 5 * errors + 1e-6 * draws).all()


def share_probabilities(groups, share, quota):
    """(n,) probability of each to be among the quota, after ``share`` of each group (n,)."""
    if len(groups) <= quota:
        return np.ones(len(groups))
    _, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    of_share = np.minimum(share / sizes, 1)[group_of]
    of_rest = (quota - of_share.sum()) / (1 - of_share).sum()
    return of_share + (1 - of_share) * of_rest
