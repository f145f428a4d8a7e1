"""A small project on detectron2, with data, config and trainer of its own.

imbdet gives it a loss and a sampler; docs/drop_in.md shows the lines that were added.
"""

from imbdet.config import add_modeling_config
from imbdet.modeling import refuse_unread_keys

# isort: split
import numpy as np
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog, build_detection_train_loader
from detectron2.data.detection_utils import annotations_to_instances
from detectron2.engine import DefaultTrainer, default_argument_parser, default_setup, launch
from detectron2.structures import BoxMode

IMAGE_SIZE = (96, 128)  # height and width in pixels
CLASS_NAMES = ["small", "large"]


def load_squares() -> list[dict]:
    """Twenty images of one square each, in the form of detectron2's data sets."""
    rng = np.random.default_rng(0)
    height, width = IMAGE_SIZE
    images = []
    for image_id in range(20):
        side = int(rng.integers(16, 64))
        x0, y0 = int(rng.integers(width - side)), int(rng.integers(height - side))
        square = {
            "bbox": [x0, y0, x0 + side, y0 + side],
            "bbox_mode": BoxMode.XYXY_ABS,
            "category_id": int(side >= 32),
        }
        images.append(
            {"image_id": image_id, "height": height, "width": width, "annotations": [square]}
        )
    return images


def draw_squares(image: dict) -> dict:
    """The input of a model for an entry of the data set: bright squares on noise."""
    rng = np.random.default_rng(image["image_id"])
    pixels = rng.integers(128, size=(3, image["height"], image["width"]), dtype=np.uint8)
    for square in image["annotations"]:
        x0, y0, x1, y1 = square["bbox"]
        pixels[:, y0:y1, x0:x1] += 128
    instances = annotations_to_instances(image["annotations"], IMAGE_SIZE)
    return {**image, "image": torch.from_numpy(pixels), "instances": instances}


DatasetCatalog.register("squares_train", load_squares)
MetadataCatalog.get("squares_train").thing_classes = CLASS_NAMES


class Trainer(DefaultTrainer):
    """detectron2's trainer on our data."""

    @classmethod
    def build_train_loader(cls, cfg: CfgNode):
        """Batches of drawn images."""
        return build_detection_train_loader(cfg, mapper=draw_squares)


def setup(args) -> CfgNode:
    """A small Faster R-CNN, trained from scratch on the CPU."""
    cfg = get_cfg()
    add_modeling_config(cfg)
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("squares_train",), ()
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER = 2, 200
    cfg.OUTPUT_DIR = "output/squares"
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS = "cpu", ""
    cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 18, 64
    cfg.MODEL.RESNETS.NORM = "BN"
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.FPN.OUT_CHANNELS = 64
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[16], [24], [32], [48], [64]]
    cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    cfg.MODEL.ROI_HEADS.IN_FEATURES = ["p2", "p3", "p4", "p5"]
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = len(CLASS_NAMES)
    cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 64
    cfg.MODEL.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    cfg.MODEL.ROI_BOX_HEAD.NUM_FC, cfg.MODEL.ROI_BOX_HEAD.FC_DIM = 1, 64
    cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION = 7
    cfg.MODEL.ROI_HEADS.NAME = "ImbROIHeads"
    cfg.MODEL.CLS_LOSS.NAME = "ap"
    cfg.MODEL.SAMPLER.NEGATIVE.NAME = "iou_balanced"
    cfg.merge_from_list(args.opts)
    refuse_unread_keys(cfg)
    default_setup(cfg, args)
    return cfg


def main(args) -> Trainer:
    """Train as the command line says."""
    trainer = Trainer(setup(args))
    trainer.resume_or_load(resume=args.resume)
    trainer.train()
    return trainer


if __name__ == "__main__":
    args = default_argument_parser().parse_args()
    launch(main, args.num_gpus, args.num_machines, args.machine_rank, args.dist_url, args=(args,))
