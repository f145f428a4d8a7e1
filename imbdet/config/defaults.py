"""Every key that imbdet adds to detectron2's config: its meaning, unit, options and default."""

import math

from detectron2.config import CfgNode


def add_imbdet_config(cfg: CfgNode) -> None:
    """Add imbdet's keys to ``cfg``, a fresh ``detectron2.config.get_cfg()``, in place."""
    add_modeling_config(cfg)
    _add_speed_keys(cfg)
    _add_dataset_keys(cfg)
    _add_input_keys(cfg)
    _add_record_keys(cfg)

    # Share of the images that RandomSubsetTrainingSampler shows. detectron2 v0.6 has the sampler,
    # but not the key.
    cfg.DATALOADER.RANDOM_SUBSET_RATIO = cfg.DATALOADER.get("RANDOM_SUBSET_RATIO", 1.0)

    # How many of the newest checkpoints stay in OUTPUT_DIR, the final one aside. 0 = all.
    cfg.SOLVER.CHECKPOINT_KEEP = 0
    # How many iterations with a loss or gradient that is not finite are skipped, in all, before the
    # training stops. Each is saved with its weights in OUTPUT_DIR/watch. 0 = stop at the first.
    cfg.SOLVER.MAX_SKIPPED = 0
    # "SGD" or "AdamW"; MOMENTUM and NESTEROV rule SGD only.
    cfg.SOLVER.OPTIMIZER = "SGD"

    # Which library computes COCO's metrics: "faster-coco-eval" or "pycocotools". The numbers are
    # the same.
    cfg.TEST.COCO_LIBRARY = "faster-coco-eval"
    # How many detections of a class in an image count, those of the highest scores; at least 10.
    # With another number than COCO's 100 the metrics are not COCO's. DETECTIONS_PER_IMAGE is the
    # number that the detector returns, of all classes.
    cfg.TEST.MAX_DETECTIONS = 100
    # How many test images to draw after an evaluation, ground truth beside detections. 0 = none.
    cfg.TEST.NUM_PICTURES = 8
    # Lowest score of a detection that is drawn, also by `imbdet predict`. -1 = the best threshold
    # of each class, by optimal LRP, as the evaluation found it; 0.3 without one.
    cfg.TEST.PICTURE_SCORE_THRESH = -1.0


def add_modeling_config(cfg: CfgNode) -> None:
    """Add the keys that ``imbdet.modeling`` reads to ``cfg``, of any detectron2 project, in place.

    An empty NAME leaves that part to the detector itself: focal loss and all anchors for
    RetinaNet, softmax cross-entropy and random sampling for the RoI heads, sigmoid cross-entropy
    and random sampling for the RPN.
    """
    # Which samples the detector's classifier and box regression learn from; positives and
    # negatives are chosen independently.
    cfg.MODEL.SAMPLER = _sampler_node()
    # The same for the anchors of ImbRPN. Published two-stage detectors keep "random" there.
    cfg.MODEL.RPN_SAMPLER = _sampler_node()

    # How much the samples of the detector (not of the RPN) learn.
    cfg.MODEL.WEIGHTING = _weighting_node()
    # Classification-aware regression loss: a second box loss, by which the scores learn where boxes
    # are good. The weight of a score p is ((1 - BIAS) p + BIAS)^K, brought to a mean of 1.
    cfg.MODEL.CARL = CfgNode({"ENABLED": False, "K": 1.0, "BIAS": 0.2})

    # Classification loss: a name of CLS_LOSS_REGISTRY ("sigmoid_cross_entropy",
    # "softmax_cross_entropy", "focal", "quality_focal", "varifocal", "ghm_c", and the losses of a
    # ranking "dr", "ap", "auc", "alrp", "rank_sort"). Empty is detectron2's: "focal" of RetinaNet,
    # "softmax_cross_entropy" of the RoI heads.
    cfg.MODEL.CLS_LOSS = _cls_loss_node(tau=0.5)
    # Box regression loss: a name of BOX_LOSS_REGISTRY ("l1", "smooth_l1", "decayed_smooth_l1",
    # "balanced_l1", "asl1", "ghm_r", "giou", "diou", "ciou"). Empty leaves it to detectron2's
    # MODEL.RETINANET.BBOX_REG_LOSS_TYPE or MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE. Smooth L1's
    # transition point stays detectron2's SMOOTH_L1_(LOSS_)BETA.
    cfg.MODEL.BOX_LOSS = _box_loss_node()

    # The losses of ImbRPN.
    cfg.MODEL.RPN_LOSS = CfgNode()
    # As MODEL.CLS_LOSS. Empty is detectron2's "sigmoid_cross_entropy".
    cfg.MODEL.RPN_LOSS.CLS = _cls_loss_node(tau=0.7)
    # As MODEL.BOX_LOSS. Empty leaves it to detectron2's MODEL.RPN.BBOX_REG_LOSS_TYPE.
    cfg.MODEL.RPN_LOSS.BOX = _box_loss_node()

    # Balanced feature pyramid, with the backbones "build_resnet_bfp_backbone" and
    # "build_retinanet_resnet_bfp_backbone": index of the level in whose size all levels are
    # averaged, 0 the finest; what refines the mean, "non_local" or "none".
    cfg.MODEL.BFP = CfgNode({"REFINE_LEVEL": 2, "REFINEMENT": "non_local"})

    # Weight of ImbRetinaNet's box loss, beside detectron2's keys of the same name for the others.
    cfg.MODEL.RETINANET.BBOX_REG_LOSS_WEIGHT = 1.0
    # Score in (0, 1) with which sigmoid classifiers start, as RetinaNet does by its PRIOR_PROB:
    # losses that sum over all negatives explode if all start at 0.5. 0 leaves the bias at 0.
    cfg.MODEL.ROI_BOX_HEAD.PRIOR_PROB = 0.0
    cfg.MODEL.RPN.PRIOR_PROB = 0.0


def _add_speed_keys(cfg: CfgNode) -> None:
    # Faster backbone and heads. Which of them pays depends on the machine: docs/performance.md.
    # CHANNELS_LAST orders weights and features (N, H, W, C) in memory; COMPILE uses torch.compile,
    # which takes a minute at the start and a C++ compiler on the CPU; BFLOAT16 is mixed precision
    # without a scaler, on CPU and GPU.
    cfg.MODEL.SPEED = CfgNode({"CHANNELS_LAST": False, "COMPILE": False, "BFLOAT16": False})


def _sampler_node() -> CfgNode:
    node = CfgNode()
    # "random", "all", "ohem", "instance_balanced" or "iou_hlr". Empty is detectron2's: "all" of
    # RetinaNet, "random" of RoI heads and RPN.
    node.POSITIVE = CfgNode({"NAME": ""})
    # "random", "all", "ohem", "iou_balanced" or "score_hlr" (RoI heads only). Empty is
    # detectron2's: "all" of RetinaNet, "random" of RoI heads and RPN.
    node.NEGATIVE = CfgNode({"NAME": ""})
    # RoI heads and RPN, whose BATCH_SIZE_PER_IMAGE is the number of samples: at most so many
    # negatives for each positive (for 1 if there is none). 0 = no such limit.
    node.MAX_NEG_POS_RATIO = 0.0
    # ImbRetinaNet with a sampler of negatives: how many for each positive of the image.
    node.NEG_POS_RATIO = 3.0
    # The same: how many at least, of an image with few positives or none.
    node.MIN_NEGATIVES = 100
    # Highest losses: IoU above which a box is a copy of one with a higher loss, which comes first.
    # 1 = no box is.
    node.OHEM = CfgNode({"NMS_THRESH": 1.0})
    # IoU-balanced negatives: IoU below which they are of the floor set (0: whose IoU is 0; -1:
    # none), the floor set's share of the quota, and the number of ranges of IoU above.
    node.IOU_BALANCED = CfgNode({"FLOOR_THRESH": -1.0, "FLOOR_FRACTION": 0.0, "NUM_BINS": 3})
    # Prime negatives: score above which a negative is ranked, IoU of the boxes of a cluster.
    node.SCORE_HLR = CfgNode({"SCORE_THRESH": 0.05, "IOU_THRESH": 0.5})
    return node


def _weighting_node() -> CfgNode:
    node = CfgNode()
    # Any of "isr_p", "isr_n" (with the sampler "score_hlr") and "soft_sampling"; factors multiply.
    node.NAMES = []
    # Importance of positives and of negatives: the weight of the importance u in (0, 1] is
    # ((1 - BIAS) u + BIAS)^K, and the total loss stays.
    node.ISR_P = CfgNode({"K": 2.0, "BIAS": 0.0})
    node.ISR_N = CfgNode({"K": 0.5, "BIAS": 0.0})
    # Soft sampling: weight of a negative without overlap; displacement and steepness of the curve
    # by which it rises to 1 with the IoU.
    node.SOFT_SAMPLING = CfgNode({"MIN_WEIGHT": 0.25, "B": 50.0, "C": 20.0})
    return node


def _cls_loss_node(*, tau: float) -> CfgNode:
    node = CfgNode({"NAME": ""})
    # Over which samples rankings, normalizers and counts run, in this loss and in the box loss
    # beside it: "batch", those of one process; "global", those of all processes; "image", for
    # losses of a ranking, those of one process with a ranking of each image.
    node.SCOPE = "batch"
    # Whether to bring the classification loss to the value of the box loss: for sampling "all".
    node.GUIDED_SCALE = False
    # Weight of the positives (1 - ALPHA of the negatives; below 0: no weights).
    node.SIGMOID_CROSS_ENTROPY = CfgNode({"ALPHA": -1.0})
    # Focal loss: weight of the positives (1 - ALPHA of the negatives; below 0: no weights) and
    # focusing exponent. ImbRetinaNet takes both from MODEL.RETINANET.FOCAL_LOSS_ALPHA and
    # FOCAL_LOSS_GAMMA instead.
    node.FOCAL = CfgNode({"ALPHA": 0.25, "GAMMA": 2.0})
    # Quality focal loss: focusing exponent. Varifocal loss: weight of the negatives and their
    # focusing exponent.
    node.QUALITY_FOCAL = CfgNode({"BETA": 2.0})
    node.VARIFOCAL = CfgNode({"ALPHA": 0.75, "GAMMA": 2.0})
    # GHM: number of bins of the gradient norm; weight of the past in their counts, in [0, 1);
    # whether to make up for the start of the counts at 0 (the published code does not); whether a
    # dense head harmonises each level of its feature pyramid by itself, as the published ones do.
    node.GHM_C = CfgNode({"BINS": 30, "MOMENTUM": 0.75, "CORRECT_BIAS": False, "BY_LEVEL": False})
    # DR loss: the margin between positives and negatives, in scores; sharpness of the hinge and
    # factor TAU of the loss; temperatures by which hard positives and negatives stand out.
    node.DR = CfgNode(
        {
            "MARGIN": 0.5,
            "SHARPNESS": 6.0,
            "TAU": 4.0,
            "LAMBDA_POS": 1.0,
            "LAMBDA_NEG": 0.1 / math.log(3.5),
        }
    )
    # AP loss and AUC loss: half the width of the step by which scores are compared, in logits (0 is
    # the hard step). AP loss: whether precisions are interpolated.
    node.AP = CfgNode({"DELTA": 1.0, "INTERPOLATED": True})
    node.AUC = CfgNode({"DELTA": 1.0})
    # aLRP loss (with BOX_LOSS "giou"). TAU: IoU from which a sample is positive, by which the
    # localisation error is scaled. MOMENTUM: weight of the past in the running balance of the two
    # parts, which starts at 50, in [0, 1). SMOOTH_LOCALISATION: False is the published code's hard
    # order.
    node.ALRP = CfgNode(
        {
            "DELTA": 1.0,
            "TAU": tau,
            "MOMENTUM": 0.999,
            "SMOOTH_LOCALISATION": True,
        }
    )
    # Rank & Sort loss: half the width of the step, as of AP loss.
    node.RANK_SORT = CfgNode({"DELTA": 0.5})
    return node


def _box_loss_node() -> CfgNode:
    node = CfgNode({"NAME": ""})
    # Smooth L1 loss whose beta falls by DECAY each PERIOD iterations down to MIN_BETA.
    node.DECAYED_SMOOTH_L1 = CfgNode(
        {"INITIAL_BETA": 0.11, "DECAY": 0.01, "PERIOD": 10000, "MIN_BETA": 0.01}
    )
    # Balanced L1 loss: slope near zero, the largest gradient of a coordinate, and the difference
    # from which it has it, in deltas.
    node.BALANCED_L1 = CfgNode({"ALPHA": 0.5, "GAMMA": 1.5, "BETA": 1.0})
    # Authentic smooth L1 loss: rounding of the kink at zero, in deltas, above 0.
    node.ASL1 = CfgNode({"MU": 0.02})
    # GHM: the same loss, harmonised; see GHM_C. Published with a loss weight of 10.
    node.GHM_R = CfgNode(
        {"MU": 0.02, "BINS": 10, "MOMENTUM": 0.7, "CORRECT_BIAS": False, "BY_LEVEL": False}
    )
    return node


def _add_dataset_keys(cfg: CfgNode) -> None:
    # Data sets in COCO format, to be named in DATASETS.TRAIN and DATASETS.TEST: a list of {NAME:
    # ..., JSON: annotation file, IMAGES: folder of the images}. Relative paths start at the
    # working directory; "~" and "$VARIABLES" are expanded.
    cfg.DATASETS.COCO = []
    # Boxes whose width or height is not above 0, outside their image or with NaN: "drop" them with
    # a warning, or "refuse" the data set.
    cfg.DATASETS.INVALID_BOXES = "drop"
    # Images that are missing or cannot be decoded, in training: "refuse" them, or "skip" with a
    # warning.
    cfg.DATASETS.BROKEN_IMAGES = "refuse"

    # The synthetic data set behind the names "shapes_train" and "shapes_val", generated on first
    # use.
    cfg.DATASETS.SHAPES = CfgNode()
    # Number of images. More of them leave the first ones as they are.
    cfg.DATASETS.SHAPES.NUM_TRAIN = 800
    cfg.DATASETS.SHAPES.NUM_VAL = 200
    # Side of the square images, in pixels.
    cfg.DATASETS.SHAPES.IMAGE_SIZE = 192
    # Smallest and largest size of an object, the longer side of its box in pixels. Sizes in
    # between are log-uniform.
    cfg.DATASETS.SHAPES.OBJECT_SIZE = (8, 64)
    # How often each class appears in training, relative to the others; validation is balanced.
    # One number for each class, in this order: circle, square, triangle, star, cross, diamond,
    # pentagon, hexagon.
    cfg.DATASETS.SHAPES.CLASS_FREQUENCIES = (100.0, 10.0, 1.0)
    # Mean number of objects in an image that is not empty, and of look-alikes (clutter, which is
    # not annotated) in relation to it. Empty images have clutter, too.
    cfg.DATASETS.SHAPES.OBJECTS_PER_IMAGE = 8.0
    cfg.DATASETS.SHAPES.CLUTTER_RATIO = 0.6
    # Share of the images without any object, and of the objects that are crowds (several,
    # annotated as one).
    cfg.DATASETS.SHAPES.EMPTY_FRACTION = 0.05
    cfg.DATASETS.SHAPES.CROWD_FRACTION = 0.02
    # Share of the training objects whose annotated class is replaced by one of the others, all
    # equally likely. The annotation file keeps the true one as "true_category_id".
    cfg.DATASETS.SHAPES.LABEL_NOISE = 0.0
    # Other seeds are other images.
    cfg.DATASETS.SHAPES.SEED = 0


def _add_input_keys(cfg: CfgNode) -> None:
    # How training images are augmented: "" resizes the short edge and flips, as detectron2 does by
    # MIN_SIZE_TRAIN and the keys beside it; "ssd" distorts colours, expands, crops by IoU, resizes
    # to a square and flips. RANDOM_FLIP rules the flip of both.
    cfg.INPUT.AUGMENTATION = ""

    # Options of "ssd".
    cfg.INPUT.SSD = CfgNode()
    # Side of the square, in pixels.
    cfg.INPUT.SSD.SIZE = 512
    # Largest change of brightness, in [0, 255]. 0 = none.
    cfg.INPUT.SSD.BRIGHTNESS_DELTA = 32.0
    # Lowest and highest factor of contrast and of saturation. (1.0, 1.0) = no change.
    cfg.INPUT.SSD.CONTRAST = (0.5, 1.5)
    cfg.INPUT.SSD.SATURATION = (0.5, 1.5)
    # Largest turn of the hue, in degrees. 0 = none.
    cfg.INPUT.SSD.HUE_DELTA = 18.0
    # Share of the images that are put on a larger canvas.
    cfg.INPUT.SSD.EXPAND_PROB = 0.5
    # Largest ratio of the canvas's sides to the image's. 1 = no canvas.
    cfg.INPUT.SSD.EXPAND_RATIO = 4.0
    # Minimum IoUs of the crop with an object, one drawn for each image, or no crop, or any.
    cfg.INPUT.SSD.MIN_IOUS = (0.1, 0.3, 0.5, 0.7, 0.9)
    # Shortest sides of the crop, relative to the image's. 1 = no crop.
    cfg.INPUT.SSD.MIN_CROP_SIZE = 0.3


def _add_record_keys(cfg: CfgNode) -> None:
    # What becomes of the samples, in OUTPUT_DIR/records; see docs/records.md.
    cfg.RECORD = CfgNode()
    # How many iterations from one record to the next. 0 = off; 20 costs little.
    cfg.RECORD.PERIOD = 0
    # Negatives that become rows, of each image and for RetinaNet, RPN or RoI heads: so many of the
    # highest losses, and so many at random of the others.
    cfg.RECORD.NUM_HARD_NEGATIVES = 32
    cfg.RECORD.NUM_RANDOM_NEGATIVES = 32
    # Room for all files, in MB (10^6 bytes). The period doubles each time half of what was left is
    # used.
    cfg.RECORD.MAX_MB = 1000
