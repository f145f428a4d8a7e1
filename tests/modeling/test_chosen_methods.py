import pytest

from imbdet.modeling.chosen_methods import chosen_methods
from tests.modeling.conftest import small_config

# Names of the samplers of positives and of negatives, and of the losses: detectron2's have names.
DEFAULTS = {
    "retinanet": ("all", "all", "focal", "smooth_l1"),
    "faster_rcnn": ("random", "random", "softmax_cross_entropy", "l1"),
}


@pytest.mark.parametrize("kind", DEFAULTS)
def test_what_detectron2_does_has_names(kind):
    names = ("positive_sampler", "negative_sampler", "cls_loss", "box_loss")
    methods = chosen_methods(small_config(kind))
    assert methods == {
        **dict(zip(names, DEFAULTS[kind], strict=True)),
        "weightings": [],
        "carl": False,
    }
    keys = ("MODEL.SAMPLER.NEGATIVE.NAME", "ohem", "MODEL.BOX_LOSS.NAME", "giou")
    changed = chosen_methods(small_config(kind, *keys))
    assert changed == {**methods, "negative_sampler": "ohem", "box_loss": "giou"}
