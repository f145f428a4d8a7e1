"""ImbDense: its cases that are detectron2's detectors, its parts, and what it refuses."""

import pytest

from imbdet.errors import UserError
from imbdet.modeling import refuse_unread_keys
from tests.modeling.conftest import make_batch, small_config, train_step
from tests.modeling.test_equality import assert_same


def dense_config(*opts):
    cfg = small_config("retinanet", "MODEL.META_ARCHITECTURE", "ImbDense")
    cfg.merge_from_list(list(opts))
    return cfg


def test_with_default_keys_it_is_imb_retinanet(build):
    ours, retinanet = build(dense_config()), build(small_config("retinanet"))
    retinanet.load_state_dict(ours.state_dict())
    batch = make_batch([3, 0])
    for one, other in zip(
        train_step(ours, batch)[:2], train_step(retinanet, batch)[:2], strict=True
    ):
        assert_same(one, other)


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (["MODEL.DENSE.PRIORS", "dots"], "MODEL.DENSE.PRIORS is 'dots'"),
        (["MODEL.DENSE.BOXES", "corners"], "MODEL.DENSE.BOXES is 'corners'"),
        (["MODEL.DENSE.QUALITY", "score"], "MODEL.DENSE.QUALITY is 'score'"),
        (["MODEL.DENSE.BOX_QUALITY", "size"], "MODEL.DENSE.BOX_QUALITY is 'size'"),
        (["MODEL.DENSE.NORMALIZER", "none"], "MODEL.DENSE.NORMALIZER is 'none'"),
        (["MODEL.DENSE.BOXES", "distances"], "each must be a square of as many strides"),
        (
            ["MODEL.DENSE.BOX_QUALITY", "iou", "MODEL.BOX_LOSS.NAME", "ghm_r"],
            "'ghm_r' has a divisor of its own",
        ),
        (
            ["MODEL.DENSE.QUALITY", "iou", "MODEL.CLS_LOSS.NAME", "rank_sort"],
            "'rank_sort' has its own use of their box losses",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(opts, message, build):
    with pytest.raises(UserError, match=message):
        build(dense_config(*opts))


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (["MODEL.DENSE.REG_MAX", 8], "MODEL.DENSE.REG_MAX is set, but MODEL.DENSE.BOXES is"),
        (["MODEL.DENSE.QUALITY_LOSS_WEIGHT", 2.0], "MODEL.DENSE.QUALITY is empty"),
    ],
)
def test_options_of_parts_that_are_not_there_are_refused(opts, message):
    with pytest.raises(UserError, match=message):
        refuse_unread_keys(dense_config(*opts))


def test_imb_retinanet_does_not_read_the_keys_of_the_parts():
    cfg = small_config("retinanet", "MODEL.DENSE.LEVEL_SCALES", True)
    with pytest.raises(UserError, match="only ImbDense would read it"):
        refuse_unread_keys(cfg)
