"""Cosines of gradients, with all groups and without each."""

import torch
from torch.nn.functional import cosine_similarity

from imbdet.alignment.alignments import alignments


def gradients(num_groups, seed=0):
    """Gradients of three columns of logits."""
    return torch.randn(num_groups, 3, 5, generator=torch.Generator().manual_seed(seed))


def test_definition():
    updates, targets = gradients(4), gradients(3, seed=1)
    pairs = [(updates, targets)]
    pairs += [(updates[torch.arange(4) != i], targets) for i in range(4)]
    pairs += [(updates, targets[torch.arange(3) != i]) for i in range(3)]
    expected = []
    for some, others in pairs:
        own, other = some.sum(dim=0).double(), others.sum(dim=0).double()
        of_layer = cosine_similarity(own.flatten(), other.flatten(), dim=0)
        expected.append(torch.cat([of_layer[None], cosine_similarity(own, other, dim=1)]))
    torch.testing.assert_close(alignments(updates, targets), torch.stack(expected))


def test_length_does_not_count():
    updates, targets = gradients(4), gradients(3, seed=1)
    torch.testing.assert_close(
        alignments(1e-6 * updates, 300 * targets), alignments(updates, targets), rtol=1e-6, atol=0
    )


def test_the_gradient_itself_is_aligned_and_its_opposite_is_not():
    targets = gradients(4)
    ones = torch.ones(4, dtype=torch.float64)
    torch.testing.assert_close(alignments(targets, targets)[0], ones)
    torch.testing.assert_close(alignments(-targets, targets)[0], -ones)


def test_without_a_gradient_there_is_no_alignment():
    updates = gradients(4)
    updates[:, 1] = 0
    found = alignments(updates, gradients(4, seed=1))
    assert found.isnan().any(dim=0).tolist() == [False, False, True, False]
    assert alignments(0 * updates, updates).isnan().all()
