"""Every YAML file loads, and the COCO configs are detectron2's in every key."""

from pathlib import Path

import pytest

import train_net
from imbdet.config import load_config
from imbdet.errors import UserError
from imbdet.methods import ASSIGNERS, BOX_LOSSES, CLS_LOSSES
from imbdet.modeling.assigners import build_assigner
from imbdet.modeling.build import build_criterion, build_sampler
from imbdet.modeling.sites import sites_of
from imbdet.modeling.unread_keys import refuse_unread_keys

# isort: split
from detectron2.config import get_cfg

CONFIGS = Path(train_net.__file__).parent / "configs"
PIECES = sorted(p for p in CONFIGS.glob("*.yaml") if not p.stem.startswith("Base-"))
DETECTORS = sorted(p for p in CONFIGS.glob("*/*.yaml") if p.stem[0].islower())


def flatten(node, prefix=""):
    for key, value in node.items():
        if hasattr(value, "items"):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def changes(path):
    """Keys of detectron2 that a config sets to something else than detectron2's default."""
    defaults = dict(flatten(get_cfg()))
    loaded = dict(flatten(load_config(str(path))))
    return {key: loaded[key] for key in defaults if loaded[key] != defaults[key]}


RETINANET = {
    "MODEL.META_ARCHITECTURE": "ImbRetinaNet",
    "MODEL.BACKBONE.NAME": "build_retinanet_resnet_fpn_backbone",
    "MODEL.RESNETS.OUT_FEATURES": ["res3", "res4", "res5"],
    "MODEL.FPN.IN_FEATURES": ["res3", "res4", "res5"],
    "MODEL.ANCHOR_GENERATOR.SIZES": [
        [x, x * 2 ** (1.0 / 3), x * 2 ** (2.0 / 3)] for x in [32, 64, 128, 256, 512]
    ],
    "MODEL.RETINANET.SMOOTH_L1_LOSS_BETA": 0.0,
    "SOLVER.BASE_LR": 0.01,
}
RCNN_FPN = {
    "MODEL.META_ARCHITECTURE": "GeneralizedRCNN",
    "MODEL.BACKBONE.NAME": "build_resnet_fpn_backbone",
    "MODEL.RESNETS.OUT_FEATURES": ["res2", "res3", "res4", "res5"],
    "MODEL.FPN.IN_FEATURES": ["res2", "res3", "res4", "res5"],
    "MODEL.ANCHOR_GENERATOR.SIZES": [[32], [64], [128], [256], [512]],
    "MODEL.PROPOSAL_GENERATOR.NAME": "ImbRPN",
    "MODEL.RPN.IN_FEATURES": ["p2", "p3", "p4", "p5", "p6"],
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": 2000,
    "MODEL.RPN.PRE_NMS_TOPK_TEST": 1000,
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": 1000,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 1000,
    "MODEL.ROI_HEADS.NAME": "ImbROIHeads",
    "MODEL.ROI_HEADS.IN_FEATURES": ["p2", "p3", "p4", "p5"],
    "MODEL.ROI_BOX_HEAD.NAME": "FastRCNNConvFCHead",
    "MODEL.ROI_BOX_HEAD.NUM_FC": 2,
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_MASK_HEAD.NAME": "MaskRCNNConvUpsampleHead",
    "MODEL.ROI_MASK_HEAD.NUM_CONV": 4,
    "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": 14,
    "SOLVER.BASE_LR": 0.02,
}
SCHEDULES = {
    "1x": {"SOLVER.STEPS": (60000, 80000), "SOLVER.MAX_ITER": 90000},
    "3x": {"SOLVER.STEPS": (210000, 250000), "SOLVER.MAX_ITER": 270000},
}
COMMON = {
    "DATASETS.TRAIN": ("coco_2017_train",),
    "DATASETS.TEST": ("coco_2017_val",),
    "SOLVER.IMS_PER_BATCH": 16,
    "INPUT.MIN_SIZE_TRAIN": (640, 672, 704, 736, 768, 800),
}


@pytest.mark.parametrize("schedule", [(50, "1x"), (50, "3x"), (101, "3x")], ids=str)
@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("COCO-Detection/retinanet", RETINANET),
        ("COCO-Detection/faster_rcnn", RCNN_FPN),
        ("COCO-InstanceSegmentation/mask_rcnn", {**RCNN_FPN, "MODEL.MASK_ON": True}),
    ],
)
def test_coco_configs_are_detectron2s(name, changed, schedule):
    depth, length = schedule
    weights = {
        "MODEL.RESNETS.DEPTH": depth,
        "MODEL.WEIGHTS": f"detectron2://ImageNetPretrained/MSRA/R-{depth}.pkl",
    }
    expected = {**changed, **COMMON, **weights, **SCHEDULES[length]}
    defaults = dict(flatten(get_cfg()))
    expected = {key: value for key, value in expected.items() if value != defaults[key]}
    assert changes(CONFIGS / f"{name}_R_{depth}_FPN_{length}.yaml") == expected


CASCADE_MASK = {
    "MODEL.MASK_ON": True,
    "MODEL.ROI_HEADS.NAME": "ImbCascadeROIHeads",
    "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG": True,
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": 2000,
}
_RPN = "detectron2://COCO-Detection/rpn_R_50_FPN_1x/137258492/coco_2017"
PROPOSALS = {
    "MODEL.LOAD_PROPOSALS": True,
    "MODEL.PROPOSAL_GENERATOR.NAME": "PrecomputedProposals",
    "DATASETS.PROPOSAL_FILES_TRAIN": (f"{_RPN}_train_box_proposals_21bc3a.pkl",),
    "DATASETS.PROPOSAL_FILES_TEST": (f"{_RPN}_val_box_proposals_ee0dad.pkl",),
    "DATALOADER.NUM_WORKERS": 2,
}
KEYPOINTS = {
    "MODEL.KEYPOINT_ON": True,
    "MODEL.ROI_HEADS.NUM_CLASSES": 1,
    "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA": 0.5,
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": 1500,
    "DATASETS.TRAIN": ("keypoints_coco_2017_train",),
    "DATASETS.TEST": ("keypoints_coco_2017_val",),
}


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("COCO-InstanceSegmentation/cascade_mask_rcnn", CASCADE_MASK),
        ("COCO-Detection/fast_rcnn", PROPOSALS),
        ("COCO-Keypoints/keypoint_rcnn", KEYPOINTS),
    ],
)
def test_other_heads_are_detectron2s(name, changed):
    weights = {"MODEL.WEIGHTS": "detectron2://ImageNetPretrained/MSRA/R-50.pkl"}
    expected = {**RCNN_FPN, **COMMON, **SCHEDULES["1x"], **weights, **changed}
    defaults = dict(flatten(get_cfg()))
    expected = {key: value for key, value in expected.items() if value != defaults[key]}
    assert changes(CONFIGS / f"{name}_R_50_FPN_1x.yaml") == expected


MASK_R50 = {
    **RCNN_FPN,
    **{"MODEL.MASK_ON": True, "MODEL.RESNETS.DEPTH": 50},
    "MODEL.WEIGHTS": "detectron2://ImageNetPretrained/MSRA/R-50.pkl",
    "INPUT.MIN_SIZE_TRAIN": (640, 672, 704, 736, 768, 800),
}
LVIS = {
    **{"DATASETS.TRAIN": ("lvis_v1_train",), "DATASETS.TEST": ("lvis_v1_val",)},
    **{"MODEL.ROI_HEADS.NUM_CLASSES": 1203, "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.0001},
    "TEST.DETECTIONS_PER_IMAGE": 300,
    "DATALOADER.SAMPLER_TRAIN": "RepeatFactorTrainingSampler",
    "DATALOADER.REPEAT_THRESHOLD": 0.001,
}
# MMDetection's epoch, in iterations of 16 of the 99,388 images of lvis_v1_train with objects.
EPOCH = -(-99388 // 16)
LVIS_12E = {
    "SOLVER.STEPS": (8 * EPOCH, 11 * EPOCH),
    **{"SOLVER.MAX_ITER": 12 * EPOCH, "SOLVER.WARMUP_ITERS": 500},
}
LVIS_24E = {
    "SOLVER.STEPS": (16 * EPOCH, 22 * EPOCH),
    **{"SOLVER.MAX_ITER": 24 * EPOCH, "SOLVER.WARMUP_ITERS": 500},
}
LVIS_CONFIGS = {
    "1x": {"SOLVER.STEPS": (120000, 160000), "SOLVER.MAX_ITER": 180000},
    "12e_eqlv2": {**LVIS_12E, "DATALOADER.SAMPLER_TRAIN": "TrainingSampler"},
    "24e_seesaw": LVIS_24E,
    "12e_ecm": {
        **LVIS_12E,
        **{"SOLVER.WARMUP_ITERS": 10000, "SOLVER.WARMUP_FACTOR": 0.0001},
        **{"SOLVER.CLIP_GRADIENTS.ENABLED": True, "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": 5.0},
        "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": "norm",
    },
    "12e_rank_sort": {
        **LVIS_12E,
        **{"SOLVER.BASE_LR": 0.012, "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.6},
        "MODEL.RETINANET.SCORE_THRESH_TEST": 0.005,  # set by the piece for the other detector
        **{"MODEL.RPN.LOSS_WEIGHT": 0.2, "MODEL.RPN.BBOX_REG_WEIGHTS": (10.0, 10.0, 5.0, 5.0)},
    },
}


@pytest.mark.parametrize(("name", "changed"), LVIS_CONFIGS.items(), ids=LVIS_CONFIGS)
def test_lvis_configs_are_the_published_ones(name, changed):
    expected = {**MASK_R50, **LVIS, **changed}
    defaults = dict(flatten(get_cfg()))
    expected = {key: value for key, value in expected.items() if value != defaults[key]}
    found = changes(CONFIGS / f"LVIS-InstanceSegmentation/mask_rcnn_R_50_FPN_{name}.yaml")
    assert found == expected


def test_federated_loss_on_lvis_has_the_values_of_detectron2():
    file = CONFIGS / "LVIS-InstanceSegmentation" / "mask_rcnn_R_50_FPN_1x_federated.yaml"
    cfg = load_config(str(file))
    (place,) = (place for place in sites_of(cfg) if place.site.module == "ImbROIHeads")
    loss = build_criterion(*place).cls_loss.loss
    assert len(loss.frequencies.images) == 1203
    assert loss.loss.keywords == {"num_classes": 50, "power": 0.5}


def build_parts(cfg):
    """Build all parts that the keys of imbdet rule, without the network around them."""
    refuse_unread_keys(cfg)
    for own, site in sites_of(cfg):
        build_assigner(own, site)
        build_criterion(own, site)
        build_sampler(own, site)


@pytest.mark.parametrize("path", DETECTORS, ids=lambda p: str(p.relative_to(CONFIGS)))
def test_every_config_names_our_detectors_and_builds_their_parts(path):
    cfg = load_config(str(path))
    assert sites_of(cfg)
    assert len(path.read_text().splitlines()) < 40
    build_parts(cfg)


FOR_ANCHORS = {
    *("Assigner-ATSS", "Assigner-DDOD", "Assigner-FCOS", "Assigner-Hungarian", "Assigner-PAA"),
    *("Assigner-SimOTA", "Assigner-SoftLabel", "Assigner-TAL", "Assigner-TopkHungarian"),
}
ONE_STAGE_ONLY = {"Setting-500px", "Libra-Dense"} | FOR_ANCHORS
# RetinaNet has no quota of positives, no RPN, no proposals, too many negatives to rank, and no
# columns of logits beside those of the classes.
TWO_STAGE_ONLY = {
    *("Assigner-ATSS-RPN", "Assigner-DynamicIoU"),
    *("Loss-BAGS", "Loss-ECM", "Loss-EQLv2", "Loss-Equilibrium"),
    *("Loss-LogitAdjustment", "Loss-Seesaw"),
    *("Libra", "Libra-Timm", "PISA"),
    *("Sampler-All", "Sampler-Libra", "Sampler-OHEM", "Sampler-Prime"),
}


def is_one_stage_only(piece):
    return piece.stem in ONE_STAGE_ONLY or piece.stem.startswith("Dense-")


@pytest.mark.parametrize("detector", ["retinanet", "faster_rcnn"])
@pytest.mark.parametrize("piece", PIECES, ids=lambda p: p.stem)
def test_every_piece_fits_the_detectors(piece, detector):
    cfg = load_config(str(CONFIGS / "quick_start" / f"{detector}.yaml"), str(piece))
    is_refused = piece.stem in (TWO_STAGE_ONLY if detector == "retinanet" else FOR_ANCHORS)
    if is_refused:
        with pytest.raises(UserError):
            build_parts(cfg)
    elif detector == "retinanet" or not is_one_stage_only(piece):
        build_parts(cfg)


@pytest.mark.parametrize(
    "piece", [p for p in PIECES if "iou_hlr" in p.read_text()], ids=lambda p: p.stem
)
def test_selected_prime_positives_are_never_the_ground_truth(piece):
    cfg = load_config(str(CONFIGS / "quick_start" / "faster_rcnn.yaml"), str(piece))
    assert not cfg.MODEL.ROI_HEADS.PROPOSAL_APPEND_GT


def test_every_loss_and_assigner_has_a_piece():
    texts = [piece.read_text() for piece in PIECES]
    for registry in (CLS_LOSSES, BOX_LOSSES, ASSIGNERS):
        for name, _ in registry:
            # RoI heads have it without a key, and no other detector takes it.
            is_default = name == "softmax_cross_entropy"
            assert is_default or any(f'NAME: "{name}"' in text for text in texts), name
