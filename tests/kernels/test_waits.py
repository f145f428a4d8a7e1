"""How often losses would wait for a GPU: operations that bring a number or a shape to the program.

Kernels are not run, and what NumPy finds on a CPU is found as on a GPU.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from imbdet import losses
from imbdet.kernels.backend import choose_backend
from imbdet.ops import labels, masks
from tests.kernels.test_fused_step_sums import problem

pytest.importorskip("triton")

aten = torch.ops.aten
WAITS = {
    *(aten._local_scalar_dense.default, aten.equal.default, aten.nonzero.default),
    *(aten.bincount.default, aten.masked_select.default, aten._unique2.default),
    *(aten.unique_consecutive.default, aten.unique_dim.default),
}
# Largest number of waits of each loss: one is for the number of positives and the loss's checks.
LOSSES = {
    "sigmoid cross-entropy": (1, lambda x, y, q: losses.sigmoid_cross_entropy_loss(x, y)),
    "focal": (1, lambda x, y, q: losses.focal_loss(x, y)),
    "quality focal": (1, losses.quality_focal_loss),
    "varifocal": (1, losses.varifocal_loss),
    "GHM-C": (1, lambda x, y, q, **k: losses.GHMCLoss()(x, y, **k)),
    "DR": (1, lambda x, y, q, **k: losses.dr_loss(x, y, **k)),
    "AP": (1, lambda x, y, q, **k: losses.ap_loss(x, y, **k)),
    "AUC": (1, lambda x, y, q, **k: losses.auc_loss(x, y, **k)),
    "aLRP": (1, lambda x, y, q, **k: sum(losses.alrp_loss(x, y, q, **k))),
    # The second wait is for the number of pairs of positives with different IoUs.
    "Rank & Sort": (2, lambda x, y, q, **k: sum(losses.rank_sort_loss(x, y, q, **k))),
}
RANKINGS = ("DR", "AP", "AUC", "aLRP", "Rank & Sort")


class Waits(TorchDispatchMode):
    """Counts the operations that wait."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in WAITS or _has_mask(func, args) or _has_unknown_size(func, kwargs):
            self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def _has_mask(func, args):
    """Whether tensors are indexed by a mask, whose true entries have to be counted."""
    if func.overloadpacket not in (aten.index, aten.index_put, aten.index_put_):
        return False
    return any(idxs is not None and idxs.dtype == torch.bool for idxs in args[1])


def _has_unknown_size(func, kwargs):
    return func == aten.repeat_interleave.Tensor and (kwargs or {}).get("output_size") is None


@pytest.fixture
def waits(monkeypatch):
    """A mode that collects the names of the operations that wait."""
    from imbdet.kernels.fused import entrywise, negative_softmax, norm_histogram, step_sums

    for module in (entrywise, negative_softmax, norm_histogram, step_sums):
        monkeypatch.setattr(module, "launch", lambda *args, **kwargs: None)
    found = Waits()
    to_list = torch.Tensor.tolist

    def counted_to_list(tensor):
        found.names.append("tolist")
        return to_list(tensor)

    def true_idxs(mask, count=None):
        return mask.nonzero().squeeze(1) if count is None else masks.search_true(mask, count)

    monkeypatch.setattr(torch.Tensor, "tolist", counted_to_list)
    for module in (labels, masks):
        monkeypatch.setattr(module, "true_idxs", true_idxs)
    choose_backend("triton")
    yield found
    choose_backend("auto")


def pay(loss, waits, **which):
    """Do a forward and a backward pass."""
    logits, gt_labels, quality, options = problem(60, 5, 0, **which)
    logits = logits.detach().requires_grad_()
    waits.names.clear()
    with waits:
        torch.autograd.grad(loss(logits, gt_labels, quality, **options).sum(), logits)
    return waits.names


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_waits_for_the_number_of_positives_alone(name, waits):
    most, loss = LOSSES[name]
    assert len(pay(loss, waits)) <= most, waits.names


@pytest.mark.parametrize("name", ["GHM-C", *RANKINGS])
def test_weights_are_looked_at_once(name, waits):
    most, loss = LOSSES[name]
    assert len(pay(loss, waits, weighted=True)) <= most + 1, waits.names


@pytest.mark.parametrize("name", RANKINGS)
def test_images_are_counted_once(name, waits):
    most, loss = LOSSES[name]
    assert len(pay(loss, waits, by_image=True)) <= most + 1, waits.names


@given(mask=st.lists(st.booleans(), max_size=30).map(lambda x: torch.tensor(x, dtype=torch.bool)))
def test_what_is_true_is_found_by_its_number(mask):
    found = masks.search_true(mask, int(mask.sum()))
    assert found.dtype == torch.int64
    assert found.equal(masks.true_idxs(mask))
