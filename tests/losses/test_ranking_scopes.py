"""A ranking of each image against a loop over the images."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.kernels import chunks
from imbdet.losses import alrp_loss, ap_loss, rank_sort_loss
from tests.losses.ranking_problems import ALL_LOSSES, KINDS, random_problem, values_and_grads


def loop_over_images(loss, logits, labels, quality, image_idxs, weights=None, **kwargs):
    """The mean, over images with positives, of the loss of the image by itself."""
    is_positive = (labels >= 0) & (labels < logits.shape[1])
    counts = is_positive if weights is None else is_positive & (weights > 0)
    totals, num_images = 0, 0
    for image in image_idxs.unique():
        rows = image_idxs == image
        if (counts & rows).any():
            own = {} if weights is None else {"weights": weights[rows]}
            part = loss(logits[rows], labels[rows], quality[rows[is_positive]], **own, **kwargs)
            totals, num_images = totals + torch.stack(part), num_images + 1
    if num_images == 0:
        return loss(logits, labels.where(~is_positive, -1), quality[:0])
    return (totals / num_images).unbind()


@ALL_LOSSES
@given(
    num_rows=st.integers(0, 60),
    num_classes=st.integers(1, 3),
    num_images=st.integers(1, 6),
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(KINDS),
    delta=st.sampled_from([0.0, 0.5, 1.0]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    chunk_size=st.sampled_from([1, 16, 2**17]),
    has_weights=st.booleans(),
)
def test_image_scope_equals_a_loop_over_images(
    loss, num_rows, num_classes, num_images, seed, kind, delta, dtype, chunk_size, has_weights
):
    logits, labels, quality = random_problem(num_rows, num_classes, seed, kind)
    generator = torch.Generator().manual_seed(seed)
    image_idxs = 10 * torch.randint(0, num_images, (num_rows,), generator=generator)
    # The first image has no positive, the second no negative unless it has several classes.
    labels[(image_idxs == 0) & (labels >= 0)] = num_classes
    labels[(image_idxs == 10) & (labels == num_classes)] = 0
    is_positive = (labels >= 0) & (labels < num_classes)
    quality = torch.rand(int(is_positive.sum()), generator=generator).mul(8).round() / 8

    weights = (4 * torch.rand(num_rows, generator=generator)).floor() if has_weights else None

    def loop(x, y, q, **kwargs):
        return loop_over_images(loss, x, y, q, image_idxs, weights, **kwargs)

    args = logits.detach().to(dtype), labels, quality
    expected, expected_grads = values_and_grads(loop, *args, delta=delta)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_ENTRIES_CPU", chunk_size)
        values, grads = values_and_grads(
            loss, *args, delta=delta, image_idxs=image_idxs, weights=weights
        )
    rtol, atol = (1e-6, 1e-7) if dtype == torch.float32 else (1e-9, 1e-10)
    torch.testing.assert_close(values, expected, rtol=rtol, atol=atol)
    torch.testing.assert_close(grads, expected_grads, rtol=rtol, atol=atol)
    assert not grads[:, (labels < 0) | (image_idxs == 0)].any()


@ALL_LOSSES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_many_logits_equal_a_loop_over_images(loss, dtype):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(80_000, 5, generator=generator).to(dtype)
    labels = torch.full((80_000,), 5)
    labels[torch.randperm(80_000, generator=generator)[:200]] = 2
    image_idxs = torch.randint(0, 4, (80_000,), generator=generator)
    labels[image_idxs == 3] = 5
    quality = torch.rand(int((labels == 2).sum()), generator=generator)

    def loop(x, y, q):
        return loop_over_images(loss, x, y, q, image_idxs)

    values, grads = values_and_grads(loss, logits, labels, quality, image_idxs=image_idxs)
    expected, expected_grads = values_and_grads(loop, logits.double(), labels, quality.double())
    torch.testing.assert_close(values, expected, rtol=1e-6, atol=1e-7)
    rtol = 1e-5 if dtype == torch.float32 else 1e-3
    atol = 1e-6 * float(expected_grads.abs().max())
    torch.testing.assert_close(grads, expected_grads, rtol=rtol, atol=atol)


@ALL_LOSSES
def test_one_image_is_the_batch(loss):
    args = random_problem(100, 3, 0, "quantised")
    values, grads = values_and_grads(loss, *args)
    image_idxs = torch.full((100,), 7)
    others, other_grads = values_and_grads(loss, *args, image_idxs=image_idxs)
    torch.testing.assert_close(others, values)
    torch.testing.assert_close(other_grads, grads)


@ALL_LOSSES
def test_only_the_order_within_an_image_counts(loss):
    # Perfect in each image, but the second one's negatives score higher than the first's positives.
    logits = torch.tensor([[0.0], [-5.0], [20.0], [15.0]])
    labels, quality = torch.tensor([0, 1, 0, 1]), torch.tensor([0.5, 0.5])
    image_idxs = torch.tensor([0, 0, 1, 1])
    values, grads = values_and_grads(loss, logits, labels, quality, image_idxs=image_idxs)
    assert values[0] == 0
    assert not grads.any()
    assert values_and_grads(loss, logits, labels, quality)[0][0] > 0


@ALL_LOSSES
def test_the_order_of_rows_does_not_matter(loss):
    logits, labels, quality = random_problem(100, 3, 2, "quantised")
    generator = torch.Generator().manual_seed(0)
    image_idxs = torch.randint(0, 4, (100,), generator=generator)
    order = torch.randperm(100, generator=generator)
    is_positive = (labels >= 0) & (labels < 3)
    per_row = torch.zeros(100, dtype=torch.float64)
    per_row[is_positive] = quality.detach()
    permuted = per_row[order][is_positive[order]]
    values, grads = values_and_grads(loss, logits, labels, quality, image_idxs=image_idxs)
    others, other_grads = values_and_grads(
        loss, logits[order], labels[order], permuted, image_idxs=image_idxs[order]
    )
    torch.testing.assert_close(others, values)
    torch.testing.assert_close(other_grads, grads[:, order])


@pytest.mark.parametrize("smooth_localisation", [True, False])
def test_localisation_is_averaged_over_images(smooth_localisation):
    logits, labels, errors = random_problem(60, 2, 3, "random")
    image_idxs = torch.arange(60) % 3

    def box_part(x, y, e, **kwargs):
        return alrp_loss(x, y, e, smooth_localisation=smooth_localisation, **kwargs)[1:]

    (value,) = box_part(logits, labels, errors, image_idxs=image_idxs)
    (expected,) = loop_over_images(box_part, logits, labels, errors, image_idxs)
    torch.testing.assert_close(value, expected)
    for result in torch.autograd.grad(value, errors)[0] - torch.autograd.grad(expected, errors)[0]:
        assert abs(result) < 1e-12


def test_image_idxs_of_a_wrong_shape_are_refused():
    logits, labels = torch.zeros(4, 2), torch.tensor([0, 1, 2, -1])
    with pytest.raises(ValueError, match=r"image_idxs must have the shape \(4,\), not \(3,\)"):
        ap_loss(logits, labels, image_idxs=labels[:3])
    with pytest.raises(ValueError, match=r"image_idxs must have the shape"):
        rank_sort_loss(logits, labels, torch.zeros(2), image_idxs=labels[:, None])
