"""A key that nothing would read is refused rather than ignored."""

import pytest

from imbdet.config import add_modeling_config
from imbdet.errors import UserError
from imbdet.modeling import ImbRetinaNet, refuse_unread_keys
from tests.modeling.conftest import small_config

# isort: split
from detectron2.config import get_cfg
from detectron2.modeling import META_ARCH_REGISTRY


@pytest.mark.parametrize(
    ("kind", "keys", "message"),
    [
        (
            "retinanet",
            ["MODEL.RPN_LOSS.CLS.NAME", "focal"],
            "MODEL.RPN_LOSS.CLS is set, but only ImbRPN would read it, and the model is of",
        ),
        (
            "retinanet",
            ["MODEL.CLS_LOSS.AP.DELTA", 0.5],
            "MODEL.CLS_LOSS.AP is set, but only 'ap' reads it, and MODEL.CLS_LOSS.NAME is 'focal'",
        ),
        (
            "retinanet",
            ["MODEL.CLS_LOSS.FOCAL.GAMMA", 1.5],
            "ImbRetinaNet reads MODEL.RETINANET.FOCAL_LOSS_ALPHA and",
        ),
        (
            "faster_rcnn",
            ["MODEL.CLS_LOSS.NAME", "federated", "MODEL.CLS_LOSS.FEDERATED.NUM_CLASSES", 9],
            "ImbROIHeads reads MODEL.ROI_BOX_HEAD.FED_LOSS_NUM_CLASSES and",
        ),
        (
            "faster_rcnn",
            ["MODEL.ROI_HEADS.NAME", "StandardROIHeads", "MODEL.ROI_BOX_HEAD.USE_FED_LOSS", True],
            "only ImbROIHeads and ImbCascadeROIHeads would read it",
        ),
        (
            "faster_rcnn",
            ["MODEL.BOX_LOSS.GHM_R.BINS", 5, "MODEL.BOX_LOSS.NAME", "giou"],
            "only 'ghm_r' reads it, and MODEL.BOX_LOSS.NAME is 'giou'",
        ),
        (
            "faster_rcnn",
            ["MODEL.SAMPLER.OHEM.NMS_THRESH", 0.7, "MODEL.SAMPLER.POSITIVE.NAME", "iou_hlr"],
            "only 'ohem' reads it, and MODEL.SAMPLER.POSITIVE.NAME and NEGATIVE.NAME is 'iou_hlr' "
            "and 'random'",
        ),
        ("retinanet", ["MODEL.SAMPLER.MAX_NEG_POS_RATIO", 5.0], "ImbRetinaNet has no quota"),
        ("retinanet", ["MODEL.SAMPLER.NEG_POS_RATIO", 5.0], "only with a sampler of negatives"),
        ("faster_rcnn", ["MODEL.SAMPLER.MIN_NEGATIVES", 5], "only dense detectors read it"),
        (
            "faster_rcnn",
            [*("MODEL.SAMPLER.MAX_NEG_POS_RATIO", 5.0), *("MODEL.SAMPLER.NEGATIVE.NAME", "all")],
            "MAX_NEG_POS_RATIO is set, but MODEL.SAMPLER.NEGATIVE.NAME is 'all'",
        ),
        (
            "retinanet",
            ["MODEL.META_ARCHITECTURE", "RetinaNet", "MODEL.RETINANET.BBOX_REG_LOSS_WEIGHT", 2.0],
            "only ImbDense would read it, and the model is of RetinaNet",
        ),
        (
            "faster_rcnn",
            ["MODEL.ROI_HEADS.NAME", "StandardROIHeads", "MODEL.ROI_BOX_HEAD.PRIOR_PROB", 0.01],
            "only ImbROIHeads and ImbCascadeROIHeads would read it",
        ),
        (
            "faster_rcnn",
            ["MODEL.PROPOSAL_GENERATOR.NAME", "RPN", "MODEL.RPN.PRIOR_PROB", 0.01],
            "only ImbRPN would read it",
        ),
        ("retinanet", ["MODEL.WEIGHTING.ISR_P.K", 1.0], "MODEL.WEIGHTING.NAMES is empty"),
        ("retinanet", ["MODEL.CARL.BIAS", 0.1], "MODEL.CARL.BIAS is set, but MODEL.CARL.ENABLED"),
        ("retinanet", ["MODEL.BFP.REFINE_LEVEL", 1], "which has no such part"),
        (
            "retinanet",
            ["MODEL.ROI_HEADS.NUM_CLASSES", 7],
            "ImbRetinaNet, which reads MODEL.RETINANET.NUM_CLASSES: set that one",
        ),
        (
            "faster_rcnn",
            ["MODEL.RETINANET.NUM_CLASSES", 7],
            "which reads MODEL.ROI_HEADS.NUM_CLASSES: set that one",
        ),
        ("retinanet", ["INPUT.SSD.SIZE", 300], "INPUT.AUGMENTATION is '': set it to 'ssd'"),
    ],
)
def test_a_key_that_nothing_reads_is_refused(kind, keys, message):
    with pytest.raises(UserError) as error:
        refuse_unread_keys(small_config(kind, *keys))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("retinanet", []),
        ("retinanet", ["MODEL.ROI_BOX_HEAD.PRIOR_PROB", 0.01]),
        ("retinanet", ["MODEL.RETINANET.NUM_CLASSES", 7, "MODEL.ROI_HEADS.NUM_CLASSES", 7]),
        ("faster_rcnn", ["MODEL.CLS_LOSS.FOCAL.GAMMA", 1.5, "MODEL.CLS_LOSS.NAME", "focal"]),
        ("faster_rcnn", ["MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE", True]),
        ("retinanet", ["MODEL.SAMPLER.NEG_POS_RATIO", 5.0, "MODEL.SAMPLER.NEGATIVE.NAME", "ohem"]),
        ("faster_rcnn", ["MODEL.RPN_LOSS.CLS.AP.DELTA", 0.5, "MODEL.RPN_LOSS.CLS.NAME", "ap"]),
        ("retinanet", ["MODEL.WEIGHTING.ISR_P.K", 1.0, "MODEL.WEIGHTING.NAMES", ["isr_p"]]),
    ],
)
def test_a_key_that_is_read_is_fine(kind, keys):
    refuse_unread_keys(small_config(kind, *keys))


def test_a_class_reads_the_keys_of_its_bases(monkeypatch):
    monkeypatch.setitem(META_ARCH_REGISTRY._obj_map, "Mine", type("Mine", (ImbRetinaNet,), {}))
    cfg = small_config("retinanet", "MODEL.META_ARCHITECTURE", "Mine", "MODEL.CLS_LOSS.NAME", "ap")
    refuse_unread_keys(cfg)
    cfg.MODEL.RPN_LOSS.CLS.NAME = "focal"
    with pytest.raises(UserError, match=r"only ImbRPN would read it, and the model is of Mine\."):
        refuse_unread_keys(cfg)


def test_keys_in_a_config_of_another_project():
    cfg = get_cfg()
    add_modeling_config(cfg)
    refuse_unread_keys(cfg)
    cfg.MODEL.CLS_LOSS.NAME = "ap"
    with pytest.raises(
        UserError,
        match="only ImbRetinaNet, ImbDense, ImbROIHeads and ImbCascadeROIHeads would read",
    ) as error:
        refuse_unread_keys(cfg)
    assert "give the config of a detector first" in str(error.value)
