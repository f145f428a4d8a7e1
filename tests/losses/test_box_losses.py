import fvcore.nn
import pytest
import torch

from imbdet import compat  # noqa: F401
from imbdet.losses import ciou_loss, diou_loss, giou_loss, smooth_l1_loss
from imbdet.ops.boxes import paired_iou

IOU_LOSSES = [giou_loss, diou_loss, ciou_loss]


def random_boxes(num, seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    corners = 50 * torch.rand(num, 2, generator=generator, dtype=dtype)
    return torch.cat(
        [corners, corners + 1 + 40 * torch.rand(num, 2, generator=generator, dtype=dtype)], dim=1
    )


def published(loss):
    import detectron2.layers

    return {
        giou_loss: fvcore.nn.giou_loss,
        diou_loss: detectron2.layers.diou_loss,
        ciou_loss: detectron2.layers.ciou_loss,
    }[loss]


@pytest.mark.parametrize("loss", IOU_LOSSES)
def test_equals_published_values_and_gradients(loss):
    boxes, gt_boxes = random_boxes(200, 0).requires_grad_(), random_boxes(200, 1)
    ours, theirs = loss(boxes, gt_boxes), published(loss)(boxes, gt_boxes)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(x.sum(), boxes)[0] for x in (ours, theirs)))


@pytest.mark.parametrize("loss", IOU_LOSSES)
def test_gradcheck(loss):
    boxes = random_boxes(5, 2, torch.float64).requires_grad_()
    gt_boxes = random_boxes(5, 3, torch.float64)
    if loss is ciou_loss:  # its trade-off is detached on purpose, so keep the aspect ratios equal
        gt_boxes = boxes.detach() + torch.tensor([3.0, 1, 3, 1], dtype=torch.float64)
        loss = diou_loss
    assert torch.autograd.gradcheck(lambda b: loss(b, gt_boxes), (boxes,))


def test_by_hand():
    # Two 2 x 2 boxes overlapping by 1 x 2: IoU 2/6; hull 3 x 2, so GIoU = IoU; centres 1 apart,
    # diagonal^2 = 9 + 4; same aspect ratio.
    boxes, gt_boxes = torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 0, 3, 2]])
    third = torch.tensor([1 / 3])
    torch.testing.assert_close(paired_iou(boxes, gt_boxes), third)
    torch.testing.assert_close(giou_loss(boxes, gt_boxes), 1 - third)
    torch.testing.assert_close(diou_loss(boxes, gt_boxes), 1 - third + 1 / 13)
    torch.testing.assert_close(ciou_loss(boxes, gt_boxes), 1 - third + 1 / 13)


def test_giou_of_disjoint_boxes():
    # Unit boxes with a gap of 2: IoU 0, hull 4, union 2: GIoU = -1/2.
    loss = giou_loss(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[3.0, 0, 4, 1]]))
    torch.testing.assert_close(loss, torch.tensor([1.5]))


@pytest.mark.parametrize("loss", IOU_LOSSES)
def test_boxes_without_area_stay_finite(loss):
    boxes = torch.tensor([[5.0, 5, 5, 5], [0, 0, 0, 4]], requires_grad=True)
    losses = loss(boxes, torch.tensor([[5.0, 5, 5, 5], [0, 0, 4, 4]]))
    losses.sum().backward()
    assert losses.isfinite().all()
    assert boxes.grad.isfinite().all()


@pytest.mark.parametrize("loss", [*IOU_LOSSES, smooth_l1_loss])
def test_no_positive_is_a_connected_zero(loss):
    boxes = torch.zeros(0, 4, requires_grad=True)
    total = loss(boxes, torch.zeros(0, 4), reduction="sum")
    total.backward()
    assert total.item() == 0
    assert boxes.grad.shape == (0, 4)


@pytest.mark.parametrize("beta", [0.0, 0.1, 1.0])
def test_smooth_l1_equals_fvcore(beta):
    pred, target = torch.randn(2, 50, 4, generator=torch.Generator().manual_seed(0))
    expected = fvcore.nn.smooth_l1_loss(pred, target, beta, reduction="none").sum(dim=1)
    torch.testing.assert_close(smooth_l1_loss(pred, target, beta=beta), expected)


def test_smooth_l1_by_hand():
    # beta 1: 0.5^2 / 2 = 0.125 and 2 - 0.5 = 1.5, the other coordinates are met.
    loss = smooth_l1_loss(torch.tensor([[0.5, -2.0, 0, 0]]), torch.zeros(1, 4), beta=1.0)
    torch.testing.assert_close(loss, torch.tensor([1.625]))


@pytest.mark.parametrize("loss", IOU_LOSSES)
@pytest.mark.parametrize("shape", [(4,), (1, 4)])
def test_boxes_that_do_not_pair_are_not_broadcast(loss, shape):
    with pytest.raises(ValueError, match="must have the same shape"):
        loss(torch.zeros(3, 4), torch.zeros(shape))


def test_smooth_l1_refuses_a_negative_beta():
    with pytest.raises(ValueError, match="beta is -1: it must be at least 0"):
        smooth_l1_loss(torch.zeros(1, 4), torch.zeros(1, 4), beta=-1)


@pytest.mark.parametrize("loss", [*IOU_LOSSES, smooth_l1_loss])
def test_half_precision_does_not_overflow(loss):
    # 300 * 300 pixels and 300^2 exceed float16.
    boxes = torch.tensor([[0.0, 0, 300, 300]], dtype=torch.float16, requires_grad=True)
    other = torch.tensor([[10.0, 10, 310, 310]], dtype=torch.float16)
    expected = loss(boxes.detach().float(), other.float())
    losses = loss(boxes, other)
    losses.sum().backward()
    torch.testing.assert_close(losses, expected)
    assert boxes.grad.isfinite().all()
