import copy

import pytest
import torch

import imbdet.modeling  # noqa: F401  (first: it prepares and extends detectron2)

# isort: split
from detectron2.config import get_cfg
from detectron2.structures import BitMasks, Boxes, Instances, Keypoints
from detectron2.utils.events import EventStorage

from imbdet.config import add_imbdet_config
from imbdet.losses import ClassFrequencies
from imbdet.modeling import build_model, give_class_frequencies

NUM_CLASSES = 5
NUM_KEYPOINTS = 4
# A long tail, whose last class has no object.
FREQUENCIES = ClassFrequencies(
    1000, images=torch.tensor([900, 90, 20, 1, 0]), instances=torch.tensor([5000, 150, 50, 1, 0])
)


def small_config(kind, *opts):
    """Config of a small detector.

    Args:
        kind: "retinanet", or "rcnn" with the prefix "faster", "mask", "keypoint", "cascade",
            "cascade_mask" or "cascade_keypoint".
        opts: overrides KEY, VALUE, ...
    """
    cfg = get_cfg()
    add_imbdet_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.RESNETS.DEPTH = 18
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    cfg.MODEL.FPN.OUT_CHANNELS = 32
    cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[16], [32], [64], [128], [256]]
    if kind == "retinanet":
        cfg.MODEL.META_ARCHITECTURE = "ImbRetinaNet"
        cfg.MODEL.BACKBONE.NAME = "build_retinanet_resnet_fpn_backbone"
        cfg.MODEL.RESNETS.OUT_FEATURES = ["res3", "res4", "res5"]
        cfg.MODEL.FPN.IN_FEATURES = ["res3", "res4", "res5"]
        cfg.MODEL.RETINANET.NUM_CLASSES = NUM_CLASSES
        cfg.MODEL.RETINANET.NUM_CONVS = 1
        cfg.MODEL.RETINANET.SCORE_THRESH_TEST = 0.0
    else:
        cfg.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
        cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
        cfg.MODEL.PROPOSAL_GENERATOR.NAME = "ImbRPN"
        cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
        cfg.MODEL.RPN.PRE_NMS_TOPK_TRAIN = cfg.MODEL.RPN.PRE_NMS_TOPK_TEST = 100
        cfg.MODEL.RPN.POST_NMS_TOPK_TRAIN = cfg.MODEL.RPN.POST_NMS_TOPK_TEST = 50
        cfg.MODEL.ROI_HEADS.NAME = "ImbROIHeads"
        cfg.MODEL.ROI_HEADS.IN_FEATURES = ["p2", "p3", "p4", "p5"]
        cfg.MODEL.ROI_HEADS.NUM_CLASSES = NUM_CLASSES
        cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 32
        cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0
        cfg.MODEL.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
        cfg.MODEL.ROI_BOX_HEAD.NUM_FC = 1
        cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 32
        cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION = 7
        cfg.MODEL.MASK_ON = "mask" in kind
        cfg.MODEL.ROI_MASK_HEAD.NAME = "MaskRCNNConvUpsampleHead"
        cfg.MODEL.ROI_MASK_HEAD.NUM_CONV = 1
        cfg.MODEL.ROI_MASK_HEAD.CONV_DIM = 16
        cfg.MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION = 7
        cfg.INPUT.MASK_FORMAT = "bitmask"
        cfg.MODEL.KEYPOINT_ON = "keypoint" in kind
        cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS = NUM_KEYPOINTS
        cfg.MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS = (16, 16)
        cfg.MODEL.ROI_KEYPOINT_HEAD.POOLER_RESOLUTION = 7
    if "cascade" in kind:
        cfg.MODEL.ROI_HEADS.NAME = "ImbCascadeROIHeads"
        cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = True
    cfg.merge_from_list(list(opts))
    return cfg


# What our modules replace.
DETECTRON2_NAMES = {
    "MODEL.META_ARCHITECTURE": {"ImbRetinaNet": "RetinaNet"},
    "MODEL.PROPOSAL_GENERATOR.NAME": {"ImbRPN": "RPN"},
    "MODEL.ROI_HEADS.NAME": {
        "ImbROIHeads": "StandardROIHeads",
        "ImbCascadeROIHeads": "CascadeROIHeads",
    },
}


def detectron2_config(cfg):
    """The same config with detectron2's own modules."""
    cfg = cfg.clone()
    for key, names in DETECTRON2_NAMES.items():
        *path, last = key.split(".")
        node = cfg
        for part in path:
            node = node[part]
        node[last] = names.get(node[last], node[last])
    return cfg


def make_batch(num_boxes, seed=0, size=(96, 128)):
    """Random images with the numbers of objects in ``num_boxes``."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size
    batch = []
    for n in num_boxes:
        corners = torch.rand(n, 2, generator=generator) * torch.tensor([width - 40.0, height - 40])
        sides = 8 + torch.rand(n, 2, generator=generator) * 32
        instances = Instances(size)
        instances.gt_boxes = Boxes(torch.cat([corners, corners + sides], dim=1))
        instances.gt_classes = torch.randint(NUM_CLASSES, (n,), generator=generator)
        masks = torch.zeros(n, height, width, dtype=torch.bool)
        for mask, (x0, y0, x1, y1) in zip(masks, instances.gt_boxes.tensor.int(), strict=True):
            mask[y0:y1, x0:x1] = True
        instances.gt_masks = BitMasks(masks)
        instances.gt_keypoints = _make_keypoints(instances.gt_boxes.tensor, seed)
        image = torch.randint(256, (3, height, width), generator=generator, dtype=torch.uint8)
        batch.append({"image": image, "instances": instances, "height": height, "width": width})
    return batch


def _make_keypoints(boxes, seed):
    """Keypoints in the boxes; about two thirds of them are labelled."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(len(boxes), NUM_KEYPOINTS, 2, generator=generator)
    points = boxes[:, None, :2] + places * (boxes[:, None, 2:] - boxes[:, None, :2])
    visible = torch.randint(3, (len(boxes), NUM_KEYPOINTS, 1), generator=generator)
    return Keypoints(torch.cat([points, visible], dim=2))


def train_step(model, batch, seed=0):
    """Losses and gradients of one batch, and the logged scalars."""
    model.train()
    model.zero_grad()
    torch.manual_seed(seed)
    with EventStorage() as storage:
        losses = model(copy.deepcopy(batch))
        sum(losses.values()).backward()
        scalars = {name: value for name, (value, _) in storage.latest().items()}
    gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    return {name: loss.detach() for name, loss in losses.items()}, gradients, scalars


@pytest.fixture
def build():
    """Function that builds a model from a config, with weights of seed 0 and FREQUENCIES."""

    def build_seeded(cfg):
        torch.manual_seed(0)
        model = build_model(cfg)
        give_class_frequencies(model, FREQUENCIES)
        return model

    return build_seeded
