"""Results of one of several processes for its images, by criteria and by whole detectors."""

import itertools
import math

import torch

import imbdet.modeling  # noqa: F401  (first: it prepares and extends detectron2)

# isort: split
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.utils.events import EventStorage
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from imbdet.errors import UserError
from imbdet.modeling import build_model, give_class_frequencies, site_keys
from imbdet.modeling.build import build_criterion
from tests.flow import make_candidates, make_samples
from tests.modeling.conftest import (
    FREQUENCIES,
    NUM_CLASSES,
    make_batch,
    small_config,
    train_step,
)

# Images of the first and of the second process; image 0 has no positives.
SPLITS = [((0,), (1, 2, 3)), ((0, 1), (2, 3))]
ALL_IMAGES = (0, 1, 2, 3)

SIGMOID_LOSSES = ["sigmoid_cross_entropy", "focal", "quality_focal", "varifocal", "ghm_c", "dr"]
TAIL_LOSSES = [
    *("eql", "federated", "ecm", "bags", "logit_adjustment", "equilibrium", "seesaw"),
    *("eqlv2", "efl", "eqfl"),
]
RANKING_LOSSES = ["ap", "auc", "alrp", "rank_sort"]
GIOU = ["MODEL.BOX_LOSS.NAME", "giou"]
ALL_SAMPLES = [
    x
    for sampler, kind in itertools.product(("SAMPLER", "RPN_SAMPLER"), ("POSITIVE", "NEGATIVE"))
    for x in (f"MODEL.{sampler}.{kind}.NAME", "all")
]

# Criteria: a site, a kind of detector that has it, and keys.
CRITERIA = {
    **{
        name: ("RETINANET", "retinanet", ["MODEL.CLS_LOSS.NAME", name, *GIOU])
        for name in (*SIGMOID_LOSSES, *RANKING_LOSSES)
    },
    "alrp, no memory": (
        "RETINANET",
        "retinanet",
        ["MODEL.CLS_LOSS.NAME", "alrp", *GIOU, "MODEL.CLS_LOSS.ALRP.MOMENTUM", 0.0],
    ),
    "ghm_r": ("RETINANET", "retinanet", ["MODEL.BOX_LOSS.NAME", "ghm_r"]),
    "guided scale": ("RETINANET", "retinanet", ["MODEL.CLS_LOSS.GUIDED_SCALE", True]),
    "softmax": ("ROI_HEADS", "faster_rcnn", []),
    **{name: ("ROI_HEADS", "faster_rcnn", ["MODEL.CLS_LOSS.NAME", name]) for name in TAIL_LOSSES},
    "rpn, ap": ("RPN", "faster_rcnn", ["MODEL.RPN_LOSS.CLS.NAME", "ap"]),
}
GLOBAL = ["MODEL.CLS_LOSS.SCOPE", "global"]
RPN_GLOBAL = ["MODEL.RPN_LOSS.CLS.SCOPE", "global"]

# Detectors: a kind and keys.
DETECTORS = {
    "retinanet": ("retinanet", GLOBAL),
    "faster_rcnn": ("faster_rcnn", [*ALL_SAMPLES, *GLOBAL, *RPN_GLOBAL]),
    "faster_rcnn, rankings": (
        "faster_rcnn",
        [
            *(*ALL_SAMPLES, *GLOBAL, *RPN_GLOBAL, *GIOU),
            *("MODEL.CLS_LOSS.NAME", "rank_sort", "MODEL.RPN_LOSS.CLS.NAME", "dr"),
        ],
    ),
}


def samples_of(images, num_columns, num_classes):
    """Samples of some of the images, 20 of each, with gradient."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(80, num_columns, generator=generator)
    labels = torch.randint(-1, num_classes + 1, (80,), generator=generator)
    labels[:20] = num_classes
    corners = 50 * torch.rand(80, 2, generator=generator)
    boxes = torch.cat([corners, corners + 10 + 20 * torch.rand(80, 2, generator=generator)], dim=1)
    gt_boxes = boxes + torch.randn(80, 4, generator=generator)
    deltas = 0.2 * torch.randn(80, 4, generator=generator)
    rows = torch.cat([torch.arange(20 * i, 20 * i + 20) for i in images])
    is_positive = (labels[rows] >= 0) & (labels[rows] < num_classes)
    candidates = make_candidates(
        labels[rows],
        torch.where(is_positive, rows, -1),
        num_per_image=[20] * len(images),
        num_classes=num_classes,
        boxes=boxes[rows],
        gt_boxes=gt_boxes,
    )
    coder = Box2BoxTransform((1.0, 1.0, 1.0, 1.0))
    return make_samples(
        candidates, logits[rows].requires_grad_(), deltas[rows].requires_grad_(), coder
    )


def pay(name, images):
    """Losses and gradients of the second of two batches, and the state of the criterion."""
    site, kind, keys = CRITERIA[name]
    cfg = small_config(kind, *keys, *(RPN_GLOBAL if site == "RPN" else GLOBAL))
    torch.manual_seed(0)
    criterion = build_criterion(cfg, getattr(site_keys, site))
    give_class_frequencies(criterion, FREQUENCIES)
    num_classes = 1 if site == "RPN" else NUM_CLASSES
    for _ in range(2):
        samples = samples_of(images, num_classes + criterion.classifier.num_extra, num_classes)
        normalizer = max(criterion.count(len(samples.pos_idxs), samples.pred_logits.device), 1)
        with EventStorage():
            losses, _ = criterion(samples, normalizer)
    inputs = samples.pred_logits, samples.positives.pred_deltas
    total = losses["loss_cls"] + 2 * losses["loss_box_reg"]
    grads = torch.autograd.grad(total, inputs, allow_unused=True, materialize_grads=True)
    return {k: loss.detach() for k, loss in losses.items()}, grads, criterion.state_dict()


def train(name, images, wrap=lambda model: model):
    """Two iterations of a detector: losses and gradients of the second, and its normalizer."""
    kind, keys = DETECTORS[name]
    torch.manual_seed(0)
    model = wrap(build_model(small_config(kind, *keys)))
    batch = make_batch([3, 0, 6, 1])
    for _ in range(2):
        losses, gradients, _ = train_step(model, [batch[i] for i in images])
    gradients = {name.removeprefix("module."): grad for name, grad in gradients.items()}
    return losses, gradients, dict(model.named_buffers())


def train_with_nan(rank):
    """The end of a detector whose RPN gives NaN in one process, while others' RoI heads rank."""
    keys = ["MODEL.CLS_LOSS.NAME", "ap", *GLOBAL]
    model = build_model(small_config("faster_rcnn", *keys))
    if rank == 1:
        torch.nn.init.constant_(model.proposal_generator.rpn_head.objectness_logits.bias, math.nan)
    try:
        train_step(model, make_batch([3, 0]))
    except UserError as error:
        return str(error)


def train_and_pay():
    """The results of all criteria and detectors for this process's images."""
    rank = distributed.get_rank()
    paid = {
        (name, split): pay(name, split[rank]) for name, split in itertools.product(CRITERIA, SPLITS)
    }
    trained = {name: train(name, SPLITS[0][rank], DistributedDataParallel) for name in DETECTORS}
    return paid, trained, train_with_nan(rank)
