"""The balanced feature pyramid of Libra R-CNN."""

import pytest
import torch
from detectron2.layers import ShapeSpec
from torch import nn

from imbdet.errors import UserError
from imbdet.modeling import balance_pyramid
from imbdet.modeling.unread_keys import refuse_unread_keys
from tests.modeling.conftest import make_batch, small_config, train_step

# Detectors, their balanced backbones, and the keys that go with these.
TIMM = ("MODEL.TIMM.NAME", "test_efficientnet")
BACKBONES = [
    ("retinanet", "build_retinanet_resnet_bfp_backbone", ()),
    ("retinanet", "build_p5_resnet_bfp_backbone", ()),
    ("retinanet", "build_p5_timm_bfp_backbone", TIMM),
    ("faster_rcnn", "build_resnet_bfp_backbone", ()),
    ("faster_rcnn", "build_timm_bfp_backbone", TIMM),
]


class Pyramid(nn.Module):
    """Three levels with given values."""

    def __init__(self, *levels):
        super().__init__()
        self.levels = levels

    def forward(self, images):
        return {f"p{i}": level for i, level in enumerate(self.levels)}

    def output_shape(self):
        return {f"p{i}": ShapeSpec(channels=level.shape[1]) for i, level in enumerate(self.levels)}


def balance(*levels, refine_level=1, refinement="none"):
    pyramid = Pyramid(*levels)
    return balance_pyramid(pyramid, refine_level=refine_level, refinement=refinement)


def test_every_level_gets_the_mean_of_all():
    fine = torch.arange(16.0).view(1, 1, 4, 4)
    middle, coarse = torch.full((1, 1, 2, 2), 10.0), torch.full((1, 1, 1, 1), 4.0)
    # In the size of the middle level: maxima of 2 x 2 of the fine one, copies of the coarse one.
    mean = (torch.tensor([[5.0, 7.0], [13.0, 15.0]]) + 10 + 4) / 3
    found = balance(fine, middle, coarse)(None)
    torch.testing.assert_close(found["p1"], 10 + mean.view(1, 1, 2, 2))
    torch.testing.assert_close(found["p2"], 4 + mean.max().view(1, 1, 1, 1))
    upsampled = mean.repeat_interleave(2, dim=0).repeat_interleave(2, dim=1)
    torch.testing.assert_close(found["p0"], fine + upsampled)


def test_a_level_of_one_row_shrinks_by_the_maximum_too():
    fine = torch.tensor([[1.0, 5.0, 2.0, 4.0]]).view(1, 1, 1, 4)
    coarse = torch.zeros(1, 1, 1, 2)
    found = balance(fine, coarse)(None)
    torch.testing.assert_close(found["p1"], torch.tensor([5.0, 4.0]).view(1, 1, 1, 2) / 2)


def test_the_refinement_starts_as_the_identity_and_attends_to_all_places():
    levels = [torch.randn(2, 8, n, n) for n in (8, 4, 2)]
    plain, refined = balance(*levels), balance(*levels, refinement="non_local")
    for name, value in plain(None).items():
        torch.testing.assert_close(refined(None)[name], value)
    block = refined.balance.refine
    nn.init.normal_(block.project.weight)
    x = levels[1]
    query, key, value = (f(x).flatten(2) for f in (block.query, block.key, block.value))
    attention = (query.transpose(1, 2) @ key).softmax(dim=2)
    expected = x + block.project((value @ attention.transpose(1, 2)).view_as(x))
    torch.testing.assert_close(block(x), expected)


@pytest.fixture(params=BACKBONES, ids=[name for _, name, _ in BACKBONES])
def balanced_cfg(request):
    kind, name, keys = request.param
    if keys:
        pytest.importorskip("timm")
    return small_config(kind, "MODEL.BACKBONE.NAME", name, *keys)


def test_detectors_train_with_it(balanced_cfg, build):
    refuse_unread_keys(balanced_cfg)
    losses, gradients, _ = train_step(build(balanced_cfg), make_batch([3, 0]))
    assert all(loss.isfinite() for loss in losses.values())
    assert gradients["backbone.balance.refine.project.weight"].any()


def test_weights_of_the_plain_pyramid_fit(balanced_cfg, build):
    plain_cfg = balanced_cfg.clone()
    plain_cfg.MODEL.BACKBONE.NAME = balanced_cfg.MODEL.BACKBONE.NAME.replace("_bfp_", "_fpn_")
    weights, balanced = build(plain_cfg).state_dict(), build(balanced_cfg)
    missing, unexpected = balanced.load_state_dict(weights, strict=False)
    assert unexpected == []
    assert missing
    assert all(name.startswith("backbone.balance.refine.") for name in missing)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["MODEL.BFP.REFINE_LEVEL", 5], "MODEL.BFP.REFINE_LEVEL is 5, but the pyramid has 5"),
        (["MODEL.BFP.REFINEMENT", "conv"], "MODEL.BFP.REFINEMENT is 'conv'"),
    ],
)
def test_bad_keys(keys, message, build):
    kind, name, _ = BACKBONES[0]
    cfg = small_config(kind, "MODEL.BACKBONE.NAME", name, *keys)
    with pytest.raises(UserError, match=message):
        build(cfg)
