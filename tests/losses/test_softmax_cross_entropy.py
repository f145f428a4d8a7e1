import math

import pytest
import torch

from imbdet.losses import softmax_cross_entropy_loss


def test_by_hand():
    # Two classes and the background, all logits equal: -ln(1/3) each; the ignored row has 0.
    losses = softmax_cross_entropy_loss(torch.zeros(4, 3), torch.tensor([0, 1, 2, -1]))
    ln3 = torch.tensor(3.0).log()
    torch.testing.assert_close(losses, torch.stack([ln3, ln3, ln3, 0 * ln3]))


@pytest.mark.parametrize("labels", [[], [-1, -1]], ids=["empty", "all ignored"])
def test_nothing_to_train_is_a_connected_zero(labels):
    logits = torch.randn(len(labels), 3, dtype=torch.float16, requires_grad=True)
    total = softmax_cross_entropy_loss(
        logits, torch.tensor(labels, dtype=torch.int64), reduction="sum"
    )
    total.backward()
    assert total.item() == 0
    assert not logits.grad.any()


def test_the_background_is_the_last_column():
    with pytest.raises(
        ValueError, match=r"must lie in \[-1, 2\], 2 being the background; 1 do not"
    ):
        softmax_cross_entropy_loss(torch.zeros(2, 3), torch.tensor([2, 3]))


@pytest.mark.parametrize("stray", [math.nan, math.inf, -math.inf])
def test_an_ignored_row_pays_nothing_whatever_it_holds(stray):
    logits = torch.tensor([[stray, 0.0], [0.0, 1.0]], requires_grad=True)
    total = softmax_cross_entropy_loss(logits, torch.tensor([-1, 0]), reduction="sum")
    total.backward()
    assert total.isfinite()
    assert not logits.grad[0].any()
    assert logits.grad[1].all()
