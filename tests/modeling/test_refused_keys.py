"""Keys without a meaning are refused before a training starts, in one sentence."""

import pytest
import torch

from imbdet.errors import UserError
from imbdet.modeling.fast_rcnn import ImbFastRCNNOutputLayers

# isort: split
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform

from tests.modeling.conftest import small_config

DECAYED_SMOOTH_L1 = ["MODEL.BOX_LOSS.NAME", "decayed_smooth_l1"]
IOU_BALANCED = ["MODEL.SAMPLER.NEGATIVE.NAME", "iou_balanced"]
ALRP = ["MODEL.CLS_LOSS.NAME", "alrp", "MODEL.BOX_LOSS.NAME", "giou"]


@pytest.mark.parametrize(
    ("kind", "keys", "message"),
    [
        (
            "retinanet",
            ["MODEL.CLS_LOSS.NAME", "focl"],
            "MODEL.CLS_LOSS.NAME is 'focl', which does not exist. Did you mean 'focal'",
        ),
        (
            "faster_rcnn",
            ["MODEL.RPN_LOSS.BOX.NAME", "gious"],
            "MODEL.RPN_LOSS.BOX.NAME is 'gious', which does not exist. Did you mean 'giou'",
        ),
        (
            "faster_rcnn",
            ["MODEL.SAMPLER.NEGATIVE.NAME", "rando"],
            "MODEL.SAMPLER.NEGATIVE.NAME is 'rando', which does not exist. Did you mean 'random'",
        ),
        (
            "retinanet",
            ["MODEL.WEIGHTING.NAMES", ["isr_p", "soft_sampling", "isr_p"]],
            "MODEL.WEIGHTING.NAMES is ['isr_p', 'soft_sampling', 'isr_p'], but each weighting",
        ),
        (
            "retinanet",
            ["MODEL.META_ARCHITECTURE", "ImbRetinanet"],
            "MODEL.META_ARCHITECTURE is 'ImbRetinanet', which does not exist. Did you mean 'ImbRet",
        ),
        (
            "faster_rcnn",
            ["MODEL.BACKBONE.NAME", "build_resnet_fpn"],
            "MODEL.BACKBONE.NAME is 'build_resnet_fpn', which does not exist. Did you mean",
        ),
        ("faster_rcnn", ["MODEL.ROI_BOX_HEAD.NAME", ""], "MODEL.ROI_BOX_HEAD.NAME is ''"),
        (
            "retinanet",
            ["MODEL.SAMPLER.POSITIVE.NAME", "random"],
            "MODEL.SAMPLER.POSITIVE.NAME is 'random', but ImbRetinaNet has no quota",
        ),
        (
            "faster_rcnn",
            ["MODEL.SAMPLER.POSITIVE.NAME", "iou_balanced"],
            "MODEL.SAMPLER.POSITIVE.NAME is 'iou_balanced', which does not exist. Did you mean",
        ),
        (
            "retinanet",
            ["MODEL.SAMPLER.NEGATIVE.NAME", "score_hlr"],
            "the anchors of ImbRetinaNet are too many",
        ),
        (
            "faster_rcnn",
            ["MODEL.RPN_SAMPLER.NEGATIVE.NAME", "ohem", "MODEL.RPN_SAMPLER.OHEM.NMS_THRESH", 0.7],
            "MODEL.RPN_SAMPLER.OHEM.NMS_THRESH is 0.7, which compares all pairs",
        ),
        (
            "faster_rcnn",
            ["MODEL.SAMPLER.NEGATIVE.NAME", "ohem", "MODEL.CLS_LOSS.NAME", "ap"],
            "looks at each sample's classification loss, but MODEL.CLS_LOSS.NAME is 'ap', a "
            "ranking loss, which has no loss per sample. Change one of the two keys.",
        ),
        (
            "faster_rcnn",
            [*IOU_BALANCED, "MODEL.SAMPLER.IOU_BALANCED.NUM_BINS", 0],
            "MODEL.SAMPLER.IOU_BALANCED.NUM_BINS is 0: it must be at least 1.",
        ),
        (
            "faster_rcnn",
            ["MODEL.RPN_SAMPLER.MAX_NEG_POS_RATIO", -1.0],
            "MODEL.RPN_SAMPLER: max_neg_pos_ratio is -1.0: it must be at least 0.",
        ),
        (
            "retinanet",
            ["MODEL.WEIGHTING.NAMES", ["isr_n"]],
            "only 'score_hlr', which the RoI heads have, ranks them",
        ),
        (
            "retinanet",
            ["MODEL.WEIGHTING.NAMES", ["isr_q"]],
            "MODEL.WEIGHTING.NAMES is 'isr_q', which does not exist. Did you mean",
        ),
        (
            "retinanet",
            ["MODEL.WEIGHTING.NAMES", ["isr_p"], "MODEL.CLS_LOSS.NAME", "rank_sort"],
            "MODEL.WEIGHTING.NAMES would weigh each sample's classification loss, but "
            "MODEL.CLS_LOSS.NAME is 'rank_sort', a ranking loss, which has no loss per sample. "
            "Change one of the two keys.",
        ),
        (
            "retinanet",
            ["MODEL.WEIGHTING.NAMES", ["isr_p"], "MODEL.WEIGHTING.ISR_P.BIAS", 2.0],
            "MODEL.WEIGHTING.ISR_P.BIAS is 2.0: it must be from 0 to 1.",
        ),
        (
            "retinanet",
            ["MODEL.CARL.ENABLED", True, "MODEL.BOX_LOSS.NAME", "giou"],
            "MODEL.CARL.ENABLED is True, which weighs a loss of the box deltas, but "
            "MODEL.BOX_LOSS.NAME is 'giou'",
        ),
        (
            "faster_rcnn",
            ["MODEL.CARL.ENABLED", True, "MODEL.CARL.K", -1.0],
            "MODEL.CARL.K is -1.0: it must be at least 0.",
        ),
        (
            "retinanet",
            ["MODEL.CLS_LOSS.NAME", "softmax_cross_entropy"],
            "whose scores are made with softmax, but those of ImbRetinaNet are made with sigmoid",
        ),
        (
            "retinanet",
            ["MODEL.BOX_LOSS.NAME", "diou", "MODEL.RETINANET.BBOX_REG_LOSS_TYPE", "giou"],
            "MODEL.BOX_LOSS.NAME is 'diou' and MODEL.RETINANET.BBOX_REG_LOSS_TYPE is 'giou'",
        ),
        (
            "retinanet",
            ["MODEL.CLS_LOSS.NAME", "alrp", "MODEL.RETINANET.BBOX_REG_LOSS_TYPE", "diou"],
            "bounded localisation error, but MODEL.RETINANET.BBOX_REG_LOSS_TYPE is 'diou'",
        ),
        (
            "retinanet",
            ["MODEL.CLS_LOSS.NAME", "ap", "MODEL.CLS_LOSS.AP.DELTA", -1.0],
            "MODEL.CLS_LOSS.AP.DELTA is -1.0: it must be at least 0.",
        ),
        (
            "retinanet",
            ["MODEL.BOX_LOSS.NAME", "asl1", "MODEL.BOX_LOSS.ASL1.MU", 0.0],
            "MODEL.BOX_LOSS.ASL1.MU is 0.0: it must be above 0.",
        ),
        (
            "retinanet",
            [*DECAYED_SMOOTH_L1, "MODEL.BOX_LOSS.DECAYED_SMOOTH_L1.PERIOD", 0],
            "MODEL.BOX_LOSS.DECAYED_SMOOTH_L1.PERIOD is 0: it must be at least 1.",
        ),
        (
            "faster_rcnn",
            ["MODEL.CLS_LOSS.NAME", "ghm_c", "MODEL.CLS_LOSS.GHM_C.MOMENTUM", 1.0],
            "MODEL.CLS_LOSS.GHM_C.MOMENTUM is 1.0: it must be at least 0 and below 1.",
        ),
        (
            "faster_rcnn",
            ["MODEL.CLS_LOSS.NAME", "ghm_c", "MODEL.CLS_LOSS.GHM_C.BY_LEVEL", True],
            "MODEL.CLS_LOSS.GHM_C.BY_LEVEL is True, but the samples of ImbROIHeads are proposals",
        ),
        (
            "faster_rcnn",
            [*ALRP, "MODEL.CLS_LOSS.ALRP.TAU", 1.0],
            "MODEL.CLS_LOSS.ALRP.TAU is 1.0: it must be at least 0 and below 1.",
        ),
        (
            "retinanet",
            ["MODEL.CLS_LOSS.NAME", "dr", "MODEL.CLS_LOSS.SCOPE", "images"],
            "MODEL.CLS_LOSS.SCOPE is 'images'. Did you mean 'image'?",
        ),
        (
            "retinanet",
            ["MODEL.CLS_LOSS.SCOPE", "image"],
            "MODEL.CLS_LOSS.SCOPE is 'image', which gives each image a ranking of its own, but "
            "'focal' is no loss of a ranking: use 'batch' or 'global'.",
        ),
        (
            "faster_rcnn",
            ["MODEL.ROI_BOX_HEAD.PRIOR_PROB", 0.01],
            "MODEL.ROI_BOX_HEAD.PRIOR_PROB is 0.01, but only the scores of sigmoid losses",
        ),
        (
            "faster_rcnn",
            ["MODEL.RPN.PRIOR_PROB", 1.0],
            "MODEL.RPN.PRIOR_PROB is 1.0; it must be at least 0 and less than 1.",
        ),
        (
            "faster_rcnn",
            ["MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE", "iou"],
            "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE is 'iou', which does not exist.",
        ),
    ],
)
def test_a_key_without_meaning_is_refused_in_one_sentence(kind, keys, message, build):
    with pytest.raises(UserError) as error:
        build(small_config(kind, *keys))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("switch", ["use_sigmoid_ce", "use_fed_loss"])
def test_detectron2s_own_loss_switches_are_no_arguments(switch):
    with pytest.raises(UserError, match=f"{switch}=True has no effect"):
        ImbFastRCNNOutputLayers(
            ShapeSpec(channels=4),
            box2box_transform=Box2BoxTransform((1, 1, 1, 1)),
            num_classes=2,
            criterion=torch.nn.Identity(),
            **{switch: True},
        )
