"""Detectors whose weights are random, but which keep samplers as busy as trained ones do."""

from collections.abc import Sequence
from typing import Any

import torch
from runs import CONFIGS, find_pieces
from torch import Tensor, nn

from imbdet.config import load_config
from imbdet.modeling import build_model

# isort: split
from detectron2.config import CfgNode
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

# Each method as it would stand on a command line: pieces of `configs/`, then keys and values.
METHODS: dict[str, dict[str, str]] = {
    "faster_rcnn": {
        "plain": "plain",
        "OHEM": "Sampler-OHEM",
        "OHEM-NMS": "Sampler-OHEM MODEL.SAMPLER.OHEM.NMS_THRESH 0.7",
        "IoUBalanced": "Sampler-IoUBalanced",
        "Libra": "Sampler-Libra",
        "Libra-RPN": "plain MODEL.RPN_SAMPLER.POSITIVE.NAME instance_balanced "
        "MODEL.RPN_SAMPLER.NEGATIVE.NAME iou_balanced",
        "Prime": "Sampler-Prime",
        "PISA": "PISA",
        "Soft": "Weighting-Soft",
        "All": "Sampler-All",
    },
    "retinanet": {
        "plain": "plain",
        "OHEM": "Sampler-OHEM-Dense",
        "PISA": "PISA-Dense",
        "Soft": "Weighting-Soft",
    },
}

_ANY_DETECTOR = ("QFL", "VFL", "GHM-C", "DR", "AUC", "AP", "aLRP", "RankSort")
# The classification losses beside the detector's own.
LOSSES: dict[str, dict[str, str]] = {
    "faster_rcnn": {name: f"Loss-{name}" for name in ("Focal", *_ANY_DETECTOR)},
    "retinanet": {name: f"Loss-{name}" for name in ("CE", *_ANY_DETECTOR)},
}

# Faster ways to compute the same.
SPEEDS = {
    "channels last": "plain MODEL.SPEED.CHANNELS_LAST True",
    "bfloat16": "plain MODEL.SPEED.BFLOAT16 True",
    "bfloat16, channels last": "plain MODEL.SPEED.BFLOAT16 True MODEL.SPEED.CHANNELS_LAST True",
    "compiled": "plain MODEL.SPEED.COMPILE True",
    "bfloat16, channels last, compiled": "plain MODEL.SPEED.BFLOAT16 True "
    "MODEL.SPEED.CHANNELS_LAST True MODEL.SPEED.COMPILE True",
}

# Keys by which detectron2's own parts stand in place of ours.
DETECTRON2_NAMES = {
    "faster_rcnn": (
        *("MODEL.PROPOSAL_GENERATOR.NAME", "RPN"),
        *("MODEL.ROI_HEADS.NAME", "StandardROIHeads"),
    ),
    "retinanet": ("MODEL.META_ARCHITECTURE", "RetinaNet"),
}

NUM_CLASSES = 80
# Proposals of a trained RPN around an object, and their deviation, relative to its sides.
PROPOSALS_PER_OBJECT = 15
PROPOSAL_ERROR = 0.1


def build_detector(
    detector: str, method: str, opts: Sequence[str], *, device: str, detectron2: bool = False
) -> nn.Module:
    """A detector with R50-FPN in training, its weights of seed 0.

    Args:
        detector: "faster_rcnn" or "retinanet".
        method: one of the detector's ``METHODS`` or ``LOSSES``, or of ``SPEEDS``.
        opts: further keys and values.
        device: "cpu" or "cuda".
        detectron2: build detectron2's own, which has the method "plain" alone.
    """
    if detectron2:
        opts = [*opts, *DETECTRON2_NAMES[detector]]
    torch.manual_seed(0)
    cfg = load_detector_config(detector, method, opts, device=device)
    model = build_model(cfg).train()
    _tame(model)
    return model


def load_detector_config(
    detector: str, method: str, opts: Sequence[str], *, device: str
) -> CfgNode:
    """The config of :func:`build_detector`."""
    pieces, *keys = {**METHODS[detector], **LOSSES[detector], **SPEEDS}[method].split()
    files = [CONFIGS / "COCO-Detection" / f"{detector}_R_50_FPN_1x.yaml", *find_pieces(pieces)]
    return load_config(
        *map(str, files),
        opts=[
            *keys,
            *("MODEL.WEIGHTS", ""),
            *("MODEL.DEVICE", device),
            # Pixels with a deviation of about 1, for which the initial weights are made.
            *("MODEL.PIXEL_STD", "[58, 57, 57]"),
            *opts,
        ],
    )


def _tame(model: nn.Module) -> None:
    """Let random weights make samplers and weightings work as hard as trained ones do."""
    for name, buffer in model.named_buffers():
        # Every residual block would double the variance, up to boxes that are not finite.
        if name.endswith("conv3.norm.weight"):
            buffer.fill_(0.2)
    if hasattr(model, "roi_heads"):
        # Nearly every proposal gets a score above Score-HLR's threshold: the most work there is.
        nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=0.2)
        model.proposal_generator.register_forward_hook(_find_objects)


def _find_objects(rpn: nn.Module, inputs: tuple, outputs: tuple) -> None:
    """Move some proposals to the objects, as a forward hook of the RPN."""
    (_, _, gt_instances), (proposals, _) = inputs, outputs
    for proposals_i, gt_i in zip(proposals, gt_instances, strict=True):
        boxes = gt_i.gt_boxes.tensor.repeat(PROPOSALS_PER_OBJECT, 1)[: len(proposals_i)]
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        errors = PROPOSAL_ERROR * sides * torch.randn_like(boxes)
        proposals_i.proposal_boxes.tensor[: len(boxes)] = boxes + errors


def make_batch(num_images: int, size: Sequence[int], num_boxes: int) -> list[dict[str, Any]]:
    """Images of noise of a size (height, width), with objects of up to half an image."""
    generator = torch.Generator().manual_seed(0)
    sides = torch.tensor([size[1], size[0]])  # of x and y
    batch = []
    for _ in range(num_images):
        scales = 2 ** (-1 - 3 * torch.rand(num_boxes, 2, generator=generator))
        corners = torch.rand(num_boxes, 2, generator=generator) * (1 - scales)
        instances = Instances(size)
        boxes = torch.cat([corners, corners + scales], dim=1) * sides.repeat(2)
        instances.gt_boxes = Boxes(boxes)
        instances.gt_classes = torch.randint(NUM_CLASSES, (num_boxes,), generator=generator)
        image = torch.randint(256, (3, *size), generator=generator, dtype=torch.uint8)
        batch.append({"image": image, "instances": instances})
    return batch


class Training:
    """Whole iterations of a detector: forward, backward, step of SGD.

    Args:
        model: the detector.
        amp: whether in mixed precision with a scaler, as detectron2 trains by SOLVER.AMP.ENABLED.
    """

    def __init__(self, model: nn.Module, *, amp: bool = False):
        self.model = model
        device = model.device.type
        self.autocast = torch.autocast(device, dtype=torch.float16, enabled=amp)
        self.scaler = torch.amp.GradScaler(device, enabled=amp)
        parameters = [p for p in model.parameters() if p.requires_grad]
        # A rate of 0: the same work, and the weights stay.
        self.optimizer = torch.optim.SGD(parameters, lr=0.0, momentum=0.9, weight_decay=1e-4)
        self.storage = EventStorage()

    def step(self, batch: list[dict[str, Any]], seed: int) -> None:
        """Do one iteration."""
        self.forward(batch, seed).backward()
        self.update()

    def forward(self, batch: list[dict[str, Any]], seed: int) -> Tensor:
        """The total loss of a batch, times the scaler's factor if there is one."""
        torch.manual_seed(seed)
        self.optimizer.zero_grad()
        with self.storage, self.autocast:
            return self.scaler.scale(sum(self.model(batch).values()))

    def update(self) -> None:
        """Do the optimizer's step."""
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.storage.step()
