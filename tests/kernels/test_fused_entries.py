"""Kernels of Triton, by its interpreter, against PyTorch's operations."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imbdet.kernels import backend
from imbdet.kernels.entrywise import fused_as
from imbdet.losses import (
    GHMCLoss,
    focal_loss,
    quality_focal_loss,
    sigmoid_cross_entropy_loss,
    varifocal_loss,
)
from imbdet.losses.cross_entropy import CrossEntropyEntry
from imbdet.losses.focal import DetachedFocalEntry, FocalEntry
from imbdet.losses.ghm import HarmonizedEntry
from imbdet.losses.quality import QualityFocalPositive, VarifocalPositive

pytest.importorskip("triton")

from imbdet.kernels.fused.entries import fused_entry
from imbdet.kernels.fused.entrywise import fused_entries

ENTRIES = [
    CrossEntropyEntry(-1, 0.5),
    FocalEntry(1, 0.5, 2.0),
    DetachedFocalEntry(1, 0.5, 2.0),
    QualityFocalPositive(2.0, 0.5),
    VarifocalPositive(),
    HarmonizedEntry(-1, torch.ones(4)),
]
LOSSES = {
    "cross entropy": lambda x, y, q: sigmoid_cross_entropy_loss(x, y),
    "balanced cross entropy": lambda x, y, q: sigmoid_cross_entropy_loss(x, y, alpha=0.3),
    "focal": lambda x, y, q: focal_loss(x, y),
    "focal, gamma 0": lambda x, y, q: focal_loss(x, y, alpha=-1, gamma=0),
    "quality focal": quality_focal_loss,
    "quality focal, beta 0": lambda x, y, q: quality_focal_loss(x, y, q, beta=0.0),
    "varifocal": varifocal_loss,
    "varifocal, detached": lambda x, y, q: varifocal_loss(x, y, q, detach_factor=True),
    "ghm": lambda x, y, q: GHMCLoss().to(x.device)(x, y),
}
# Tolerances of values and of gradients, relative to the largest.
TOLERANCES = {
    torch.float32: (2e-6, 2e-6),
    torch.bfloat16: (2e-6, 8e-3),
    torch.float16: (2e-6, 1e-3),
}


@pytest.fixture(autouse=True)
def restored_backend():
    yield
    backend.choose_backend("auto")


def problem(num_rows, num_columns, seed, scale=5.0, dtype=torch.float32):
    """Logits of which a column beyond the last is not used, labels, qualities and weights."""
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(num_rows, num_columns + 1, generator=generator)
    # No gradient's norm is so close to the edge of a bin that it may fall on either side.
    logits = (64 * logits).round() / 64
    labels = torch.randint(-1, num_columns + 1, (num_rows,), generator=generator)
    num_positives = int(((labels >= 0) & (labels < num_columns)).sum())
    quality = torch.rand(num_positives, generator=generator).round(decimals=1)
    weights = torch.rand(num_rows, generator=generator)
    return logits.to(dtype)[:, :-1], labels, quality, weights


def computed(name, loss, logits, labels, quality, weights):
    """Values and gradients by a backend."""
    backend.choose_backend(name)
    logits = logits.detach().requires_grad_()
    values = loss(logits, labels, quality)
    (grad,) = torch.autograd.grad((weights * values).sum(), logits)
    return values.detach(), grad


def assert_alike(loss, problem, dtype=torch.float32):
    expected = computed("torch", loss, *problem)
    found = computed("triton", loss, *problem)
    for value, other, tolerance in zip(found, expected, TOLERANCES[dtype], strict=True):
        assert value.dtype == other.dtype
        largest = float(other.abs().max()) if other.numel() else 0.0
        torch.testing.assert_close(value, other, rtol=tolerance, atol=tolerance * largest)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_values_and_gradients_are_those_of_pytorch(loss, dtype):
    assert_alike(loss, problem(200, 20, seed=0, dtype=dtype), dtype)


@settings(max_examples=25)
@given(
    num_rows=st.integers(0, 70),
    num_columns=st.sampled_from([1, 2, 5, 16, 17, 40]),
    scale=st.sampled_from([0.0, 1.0, 30.0, 200.0]),
    seed=st.integers(0, 9),
    name=st.sampled_from(list(LOSSES)),
)
def test_any_shape_and_saturated_logits(num_rows, num_columns, scale, seed, name):
    assert_alike(LOSSES[name], problem(num_rows, num_columns, seed, scale))


def test_rows_that_are_ignored_pay_nothing_whatever_their_logits():
    logits, labels, quality, weights = problem(40, 8, seed=1)
    logits = logits.clone()
    logits[labels < 0] = torch.nan
    values, grad = computed("triton", LOSSES["focal"], logits, labels, quality, weights)
    assert (values[labels < 0] == 0).all()
    assert (grad[labels < 0] == 0).all()
    assert grad.isfinite().all()
    logits[labels >= 0] = torch.nan
    values, grad = computed("triton", LOSSES["focal"], logits, labels, quality, weights)
    assert values[labels >= 0].isnan().all()
    assert grad[labels >= 0].isnan().all()


def test_saturated_cross_entropy_keeps_its_digits():
    logits = torch.tensor([[-10.0], [-20.0], [-60.0], [20.0]])
    background = torch.ones(4, dtype=torch.int64)
    backend.choose_backend("triton")
    values = sigmoid_cross_entropy_loss(logits, background)
    expected = sigmoid_cross_entropy_loss(logits.double(), background)
    torch.testing.assert_close(values.double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [
        ("auto", torch.float32, False),  # on a CPU
        ("torch", torch.float32, False),
        ("triton", torch.float32, True),
        ("triton", torch.bfloat16, True),
        ("triton", torch.float64, False),
    ],
)
def test_who_computes(name, dtype, expected):
    backend.choose_backend(name)
    assert backend.is_fused(torch.zeros(1, dtype=dtype)) == expected


def test_another_backend_is_refused():
    with pytest.raises(ValueError, match="'cuda' is no backend: choose one of 'auto', 'torch', 't"):
        backend.choose_backend("cuda")


def test_an_entry_without_a_kernel_is_computed_by_pytorch():
    plain, of_classes = FocalEntry(1, 0.5, 2.0), FocalEntry(1, 0.5, torch.ones(3))
    assert fused_entries(plain, plain, 0) is not None
    assert fused_entries(plain, of_classes, 0) is None
    assert fused_entries(plain, plain, 2) is None


class TestWhichKernel:
    """A kernel is chosen by what an entry loss declares, and by nothing that it happens to have."""

    def test_an_entry_of_the_same_name_and_fields_may_have_another_formula(self):
        foreign = dataclasses.make_dataclass("FocalEntry", ["sign", "weight", "gamma"], frozen=True)
        assert fused_entry(FocalEntry(1, 0.5, 2.0)) is not None
        assert fused_entry(foreign(1, 0.5, 2.0)) is None

    @pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: type(entry).__name__)
    def test_a_subclass_may_have_another_formula(self, entry):
        subclass = type("Other", (type(entry),), {})
        assert fused_entry(subclass(**vars(entry))) is None

    def test_names_and_the_order_of_fields_do_not_matter(self):
        fields = ["weight", ("more", str, "unused"), ("gamma", float, 2.0), ("sign", int, 1)]
        renamed = dataclasses.make_dataclass("Renamed", fields)
        fused_as("focal", "sign", "weight", "gamma")(renamed)
        assert fused_entry(renamed(0.5)) == fused_entry(FocalEntry(1, 0.5, 2.0))

    @pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: type(entry).__name__)
    def test_the_entries_of_the_losses_have_one(self, entry):
        found = fused_entry(entry)
        values = list(vars(entry).values())
        numbers = [float(value) for value in values if not isinstance(value, torch.Tensor)]
        assert list(found.numbers) == [*numbers, 0.0, 0.0, 0.0][:3]
        assert (found.table is None) == (len(numbers) == len(values))


@pytest.mark.parametrize("num_columns", [1, 2, 3, 16, 17, 20, 80, 91, 365, 1203])
def test_tiles_leave_few_columns_unused(num_columns):
    from imbdet.kernels.fused.tiles import TILE, tile_columns

    width = tile_columns(num_columns)
    assert TILE % width == 0
    assert width & (width - 1) == 0
    assert -num_columns % width < max(16, num_columns)
