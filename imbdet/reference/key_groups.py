"""The keys of each group: their defaults, meanings, units and ranges.

A group of keys is a class whose attributes are declared as options are (:mod:`imbdet.options`):
``period`` of the group "RECORD" is the key ``RECORD.PERIOD``.
"""

from typing import Annotated, Any

from imbdet.options import Count, Momentum, NonNegative, Range, Share


class Sampler:
    """How many samples learn.

    Attributes:
        max_neg_pos_ratio: RoI heads and RPN, whose BATCH_SIZE_PER_IMAGE is the number of samples:
            largest number of negatives for each positive (for 1 if there is none); 0 is no limit.
        neg_pos_ratio: ImbRetinaNet with a sampler of negatives: how many for each positive of the
            image.
        min_negatives: ImbRetinaNet with a sampler of negatives: how many at least, of an image with
            few positives or none.
    """

    max_neg_pos_ratio: NonNegative = 0.0
    neg_pos_ratio: NonNegative = 3.0
    min_negatives: NonNegative = 100


class ClsLoss:
    """What holds for several classification losses.

    Attributes:
        scope: over which samples rankings, normalizers and counts run, in this loss and in the box
            loss beside it: "batch", those of one process; "global", those of all processes;
            "image", for losses of a ranking, those of one process with a ranking of each image.
        guided_scale: whether to bring the classification loss to the value of the box loss: for
            sampling "all".
    """

    scope: str = "batch"
    guided_scale: bool = False


class Carl:
    """Classification-aware regression loss.

    Attributes:
        enabled: whether to add the classification-aware regression loss: a second box loss, by
            which the scores learn where boxes are good. The weight of a score p is
            ((1 - BIAS) p + BIAS)^K, brought to a mean of 1.
        k: exponent; the larger, the more the confident samples weigh.
        bias: weight of a score of 0, before the power.
    """

    enabled: bool = False
    k: NonNegative = 1.0
    bias: Share = 0.2


class Cascade:
    """The stages of a cascade, beside detectron2's IOUS and BBOX_REG_WEIGHTS.

    Attributes:
        stages: keys of each stage, which count more than those that the stages share: a list with a
            group for each, such as [{}, {CLS_LOSS: {NAME: focal}}, {}]. Its groups are ASSIGNER,
            SAMPLER, WEIGHTING, CARL, CLS_LOSS and BOX_LOSS. Empty is detectron2's: only the first
            stage samples, the later ones take all proposals. [{}, {}, {}] has three stages sample
            alike, as MMDetection does.
        loss_weights: factors of the losses of each stage, such as MMDetection's [1.0, 0.5, 0.25].
            Empty is detectron2's: each counts 1, and of the gradients of the features the mean over
            the stages is taken.
    """

    stages: list[dict[str, Any]] = []  # noqa: RUF012  (copied into each config)
    loss_weights: list[float] = []  # noqa: RUF012


class ClassWeights:
    """Weights of classes.

    Attributes:
        class_weights: factors of the losses of each class's objects, of all heads: numbers by name,
            such as {cat: 2.0, dog: 0.5}, others 1; or "inverse", "sqrt_inverse" or
            "effective_number", by the numbers of their training objects, with the mean 1 over all
            objects. Empty is 1 for all.
        class_weights_beta: of "effective_number", how much objects of a class repeat each other.
    """

    class_weights: list[Any] = []  # noqa: RUF012  (copied into each config)
    class_weights_beta: Momentum = 0.999


class Ignored:
    """Regions in which it is not known what is an object: annotations with "ignore".

    Attributes:
        crowds: whether crowds are ignored regions as well. False is detectron2's: it drops them, so
            that anchors and proposals in them are background.
        min_overlap: the share of the area of an anchor or proposal that must lie in an ignored
            region for it to be ignored instead of background.
    """

    crowds: bool = False
    min_overlap: Annotated[float, Range(0, 1, above=True)] = 0.5


class BalancedPyramid:
    """Balanced feature pyramid.

    Attributes:
        refine_level: balanced feature pyramid, with the backbones "build_resnet_bfp_backbone" and
            "build_retinanet_resnet_bfp_backbone": index of the level in whose size all levels are
            averaged, 0 the finest.
        refinement: what refines the mean of the balanced feature pyramid, "non_local" or "none".
    """

    refine_level: NonNegative = 2
    refinement: str = "non_local"


class Timm:
    """The network below a feature pyramid, from the library timm.

    Attributes:
        name: with the backbones "build_timm_fpn_backbone" and "build_p5_timm_fpn_backbone": name of
            a model of timm that gives feature maps, such as "mobilenetv2_100". Its weights are
            MODEL.WEIGHTS; see docs/backbones.md.
        freeze_norm: whether its batch normalization keeps the statistics, scales and shifts of
            MODEL.WEIGHTS, as detectron2's ResNets do. From scratch it has to learn them: False.
    """

    name: str = ""
    freeze_norm: bool = True


class RetinaNet:
    """ImbRetinaNet's, beside detectron2's.

    Attributes:
        bbox_reg_loss_weight: weight of ImbRetinaNet's box loss, beside detectron2's keys of the
            same name for the others.
    """

    bbox_reg_loss_weight: float = 1.0


class Dense:
    """What ImbDense is made of, beside the keys of RetinaNet; the defaults are RetinaNet's.

    Attributes:
        priors: where it predicts: at the "anchors" of MODEL.ANCHOR_GENERATOR, or at "points", one
            in each cell of a feature map.
        boxes: as what boxes are predicted: "deltas" from the prior, "distances" from its centre to
            the four sides in strides, or "distributions" over these distances, 0 to REG_MAX.
        reg_max: largest distance that a distribution can express, in strides.
        level_scales: whether each level multiplies its boxes by a number that is learned.
        quality: what a quality branch learns, "centerness" or "iou", by whose score those of the
            classes are multiplied; empty is none.
        quality_loss_weight: factor of the quality branch's loss.
        dfl_loss_weight: factor of the distribution focal loss.
        box_quality: what the losses of boxes and distributions are weighed by, to be divided by its
            sum: "centerness", "iou", "score" (the highest of a class) or "assigned" (what the
            assigner gives); empty is by nothing.
        normalizer: by what losses are divided: "running_positives", a running number of positives;
            "positives", their number; "quality", the sum of what the assigner gives.
    """

    priors: str = "anchors"
    boxes: str = "deltas"
    reg_max: Count = 16
    level_scales: bool = False
    quality: str = ""
    quality_loss_weight: NonNegative = 1.0
    dfl_loss_weight: NonNegative = 0.25
    box_quality: str = ""
    normalizer: str = "running_positives"


class Classifier:
    """Of the RoI heads and the RPN.

    Attributes:
        prior_prob: score with which sigmoid classifiers start, as RetinaNet does by its PRIOR_PROB:
            losses that sum over all negatives explode if all start at 0.5; 0 leaves the bias at 0.
    """

    prior_prob: Annotated[float, Range(0, 1, below=True)] = 0.0


class BoxHead(Classifier):
    """Keys of the RoI heads of detectron2's main branch, which v0.6 lacks.

    Attributes:
        use_sigmoid_ce: whether the classification loss is "sigmoid_cross_entropy".
        use_fed_loss: whether it is "federated"; detectron2 has USE_SIGMOID_CE beside it.
        fed_loss_num_classes: how many classes federated loss takes, those of the batch first, of
            which the background counts as one.
        fed_loss_freq_weight_power: exponent of the number of training images with a class: it is
            drawn in proportion to the result.
    """

    use_sigmoid_ce: bool = False
    use_fed_loss: bool = False
    fed_loss_num_classes: Count = 50
    fed_loss_freq_weight_power: NonNegative = 0.5


class Speed:
    """Faster backbone and heads.

    Attributes:
        channels_last: whether weights and features of backbone and heads are (N, H, W, C) in
            memory. What pays depends on the machine: docs/performance.md.
        compile: whether backbone and heads are compiled by torch.compile, which takes a minute at
            the start and a C++ compiler on the CPU.
        bfloat16: whether to compute in mixed precision without a scaler, on CPU and GPU.
        kernels: what computes the losses of many logits: "torch", PyTorch's operations; "triton",
            kernels that read the logits once; "auto", these on a GPU where Triton runs.
    """

    channels_last: bool = False
    compile: bool = False
    bfloat16: bool = False
    kernels: str = "auto"


class Datasets:
    """Data sets in COCO's and LVIS's formats, and what becomes of their faults.

    Attributes:
        coco: data sets in COCO format, to be named in DATASETS.TRAIN and DATASETS.TEST: a list of
            {NAME: ..., JSON: annotation file, IMAGES: folder of the images}. Relative paths start
            at the working directory; "~" and "$VARIABLES" are expanded.
        lvis: data sets in LVIS's format, in the same form. They are evaluated as LVIS is: where it
            is not known whether an object of a class is there, its detections do not count.
        train_repeat_factor: how often an epoch shows each image of a data set with
            WeightedTrainingSampler, or in relation to others with WeightedCategoryTrainingSampler:
            a list of (NAME, factor), others 1.
        invalid_boxes: boxes whose width or height is not above 0, outside their image or with NaN:
            "drop" them with a warning, or "refuse" the data set.
        broken_images: images that are missing or cannot be decoded, in training: "refuse" them, or
            "skip" with a warning.
    """

    coco: list[dict[str, str]] = []  # noqa: RUF012  (copied into each config)
    lvis: list[dict[str, str]] = []  # noqa: RUF012
    train_repeat_factor: list[Any] = []  # noqa: RUF012
    invalid_boxes: str = "drop"
    broken_images: str = "refuse"


class Shapes:
    """The synthetic data set of "shapes_train" and "shapes_val", generated on first use.

    Attributes:
        num_train: number of images of the synthetic data set "shapes_train", which is generated on
            first use. More of them leave the first ones as they are.
        num_val: number of images of the synthetic data sets "shapes_val" and "shapes_test".
        image_size: side of the square images, in pixels.
        object_size: smallest and largest size of an object, the longer side of its box in pixels.
            Sizes in between are log-uniform.
        class_frequencies: how often each class appears in training, relative to the others;
            validation is balanced. One number for each class, in this order: circle, square,
            triangle, star, cross, diamond, pentagon, hexagon.
        objects_per_image: mean number of objects in an image that is not empty.
        clutter_ratio: mean number of look-alikes (clutter, which is not annotated) in relation to
            that of objects. Empty images have clutter, too.
        empty_fraction: share of the images without any object.
        crowd_fraction: share of the objects that are crowds (several, annotated as one).
        label_noise: share of the training objects whose annotated class is replaced by one of the
            others, all equally likely. The annotation file keeps the true one as
            "true_category_id".
        box_noise: share of the training objects whose box is badly placed, and their mask with it.
            The annotation file keeps the true one as "true_bbox".
        box_noise_iou: lowest and highest IoU of these boxes with the true ones, from 0.3 to 1. The
            IoU of each is uniform in between.
        missing_fraction: share of the training objects that are not annotated. The annotation file
            keeps their annotations as "missing" of the image.
        duplicate_fraction: share of the training objects that are annotated twice, the second time
            with a slightly different box. The second annotation has the id of the first as
            "duplicate_of", and its faults.
        duplicate_iou: lowest and highest IoU of both boxes, from 0.3 to 1, uniform in between.
        seed: other seeds are other images.
    """

    num_train: Annotated[int, Range(1, 1_000_000)] = 800
    num_val: Annotated[int, Range(1, 1_000_000)] = 200
    image_size: Annotated[int, Range(32, 2048)] = 192
    object_size: tuple[int, int] = (8, 64)
    class_frequencies: tuple[float, ...] = (100.0, 10.0, 1.0)
    objects_per_image: Annotated[float, Range(1, 100)] = 8.0
    clutter_ratio: Annotated[float, Range(0, 10)] = 0.6
    empty_fraction: Share = 0.05
    crowd_fraction: Share = 0.02
    label_noise: Share = 0.0
    box_noise: Share = 0.0
    box_noise_iou: tuple[float, float] = (0.3, 0.7)
    missing_fraction: Share = 0.0
    duplicate_fraction: Share = 0.0
    duplicate_iou: tuple[float, float] = (0.7, 0.95)
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0


class Input:
    """Augmentation.

    Attributes:
        augmentation: how training images are augmented: "" resizes the short edge and flips, as
            detectron2 does by MIN_SIZE_TRAIN and the keys beside it; "ssd" distorts colours,
            expands, crops by IoU, resizes to a square and flips. RANDOM_FLIP rules the flip of
            both.
    """

    augmentation: str = ""


class SSD:
    """The augmentation "ssd".

    Attributes:
        size: side of the square, in pixels.
        brightness_delta: largest change of brightness; 0 is none.
        contrast: lowest and highest factor of the contrast; (1.0, 1.0) is no change.
        saturation: lowest and highest factor of the saturation; (1.0, 1.0) is no change.
        hue_delta: largest turn of the hue, in degrees; 0 is none.
        expand_prob: share of the images that are put on a larger canvas.
        expand_ratio: largest ratio of the canvas's sides to the image's; 1 is no canvas.
        min_ious: minimum IoUs of the crop with an object, one drawn for each image, or no crop, or
            any.
        min_crop_size: shortest sides of the crop, relative to the image's; 1 is no crop.
    """

    size: Count = 512
    brightness_delta: Annotated[float, Range(0, 255)] = 32.0
    contrast: Annotated[tuple[float, float], Range(0)] = (0.5, 1.5)
    saturation: Annotated[tuple[float, float], Range(0)] = (0.5, 1.5)
    hue_delta: Annotated[float, Range(0, 180)] = 18.0
    expand_prob: Share = 0.5
    expand_ratio: Annotated[float, Range(1)] = 4.0
    min_ious: Annotated[tuple[float, ...], Range(0, 1)] = (0.1, 0.3, 0.5, 0.7, 0.9)
    min_crop_size: Annotated[float, Range(0, 1, above=True)] = 0.3


class Dataloader:
    """Image samplers, beside detectron2's REPEAT_THRESHOLD; v0.6 lacks some of its keys.

    Attributes:
        random_subset_ratio: share of the images that RandomSubsetTrainingSampler shows.
        repeat_sqrt: whether repeat factors of classes are square roots.
        loss_records: OUTPUT_DIR of an earlier training on the same data with records, by whose
            losses LossTrainingSampler shows images.
        max_repeats: how often LossTrainingSampler shows an image at most, in an epoch; and
            LedgerTrainingSampler, in relation to one whose objects are all learnt.
    """

    random_subset_ratio: float = 1.0
    repeat_sqrt: bool = True
    loss_records: str = ""
    max_repeats: Annotated[float, Range(1)] = 4.0


class Record:
    """What becomes of the samples.

    Attributes:
        period: how many iterations from one record of the samples to the next, in
            OUTPUT_DIR/records; see docs/records.md. 0 is off; 20 costs little.
        num_hard_negatives: number of negatives with the highest losses that become rows, of each
            image and for RetinaNet, RPN or RoI heads.
        num_random_negatives: number of random ones of the other negatives that become rows, too.
        max_mb: room for all files, in MB (10^6 bytes). The period doubles each time half of what
            was left is used.
    """

    period: NonNegative = 0
    num_hard_negatives: NonNegative = 32
    num_random_negatives: Count = 32
    max_mb: Count = 1000


class Ledger:
    """What becomes of each object over the training.

    Attributes:
        enabled: whether to keep a ledger of all objects and images, in OUTPUT_DIR/ledger; see
            docs/ledger.md.
    """

    enabled: bool = False


class Feedback:
    """What the ledger says while training rules how often images come and what objects weigh.

    Attributes:
        period: iterations from one look into the ledger to the next; 0 is an epoch. Weights of
            objects change with it, and LedgerTrainingSampler's images one period later.
        object_weights: whether objects weigh less, in all losses, that are said to be of another
            class more than others of their class; see docs/ledger.md.
        warmup_iters: iterations in which all objects weigh 1, since a detector that has not learnt
            its classes says nothing of labels; as many as those of SOLVER.WARMUP_ITERS by default.
        min_weight: lowest weight of an object, above 0, as one of weight 0 is not judged any more.
    """

    period: NonNegative = 0
    object_weights: bool = False
    warmup_iters: NonNegative = 1000
    min_weight: Annotated[float, Range(0, 1, above=True)] = 0.1


class Solver:
    """Checkpoints, the optimizer, and what is not finite.

    Attributes:
        checkpoint_keep: how many of the newest checkpoints stay in OUTPUT_DIR, the final one aside;
            0 is all.
        max_skipped: how many iterations with a loss or gradient that is not finite are skipped, in
            all, before the training stops. Each is saved with its weights in OUTPUT_DIR/watch. 0 is
            to stop at the first.
        optimizer: "SGD" or "AdamW"; MOMENTUM and NESTEROV rule SGD only.
    """

    checkpoint_keep: NonNegative = 0
    max_skipped: NonNegative = 0
    optimizer: str = "SGD"


class Test:
    """Evaluation.

    Attributes:
        validation_loss: whether a training computes its losses on the test sets, too, in each
            evaluation; metrics.json has them as "validation/total_loss" and so on.
        coco_library: which library computes COCO's metrics: "faster-coco-eval" or "pycocotools".
            The numbers are the same.
        max_detections: how many detections of a class in an image count, those of the highest
            scores. With another number than COCO's 100 the metrics are not COCO's.
            DETECTIONS_PER_IMAGE is the number that the detector returns, of all classes. LVIS's
            data sets have no such limit, but one of 300 in an image.
        frequency_bounds: in how many training images the objects of a class are at most that is
            rare, and of one that is common; the others are frequent. APr, APc and APf are those of
            each group. The default is LVIS's, whose own data sets say which classes are which.
        num_pictures: how many test images to draw after an evaluation, ground truth beside
            detections; 0 is none.
        picture_score_thresh: lowest score of a detection that is drawn, also by `imbdet predict`.
            -1 is the best threshold of each class, by optimal LRP, as the evaluation found it; 0.3
            without one.
    """

    validation_loss: bool = False
    coco_library: str = "faster-coco-eval"
    max_detections: Annotated[int, Range(10)] = 100
    frequency_bounds: Annotated[tuple[int, int], Range(0)] = (10, 100)
    num_pictures: NonNegative = 8
    picture_score_thresh: Annotated[float, Range(-1, 1)] = -1.0


class Loggers:
    """Programs that keep the curves of many trainings, beside metrics.json and TensorBoard.

    Attributes:
        names: "wandb" (Weights & Biases) and "mlflow"; pip install "imbdet[wandb]" and
            "imbdet[mlflow]" bring them.
        project: the project, or experiment, that the run belongs to.
        run: name of the run; empty is that of the folder OUTPUT_DIR.
    """

    names: list[str] = []  # noqa: RUF012  (copied into each config)
    project: str = "imbdet"
    run: str = ""


class Best:
    """The best evaluation of a training, and its end where evaluations get no better.

    Attributes:
        metric: by which evaluations are compared, as metrics.json names it, such as "bbox/AP"; with
            several test sets the name of one comes first, "coco_2017_val/bbox/AP". The weights of
            the best one are kept as OUTPUT_DIR/model_best.pth. Empty is to keep none.
        patience: after how many evaluations without gain the training ends; 0 is never.
        min_delta: how much better METRIC must be to be a gain for PATIENCE, in its own unit.
    """

    metric: str = ""
    patience: Annotated[int, Range(0)] = 0
    min_delta: NonNegative = 0.0


class ModelEMA:
    """The exponential moving average of the weights (EMA), by d2go's names of keys.

    Attributes:
        enabled: whether to average the weights over the iterations, to evaluate the averages beside
            the weights, and to keep them as OUTPUT_DIR/model_final_ema.pth.
        decay: weight of the past in each iteration.
        decay_warm_up_factor: F. In the n-th iteration the decay is at most (1 + n) / (F + n), so
            that the first weights are soon forgotten; 1 is no warm-up.
    """

    enabled: bool = False
    decay: Momentum = 0.999
    decay_warm_up_factor: Annotated[float, Range(1)] = 10.0


# By the names of their groups; first those that ``imbdet.modeling`` reads.
MODELING_GROUPS = {
    "MODEL.SAMPLER": Sampler,
    "MODEL.RPN_SAMPLER": Sampler,
    "MODEL.CLS_LOSS": ClsLoss,
    "MODEL.RPN_LOSS.CLS": ClsLoss,
    "MODEL.CARL": Carl,
    "MODEL.BFP": BalancedPyramid,
    "MODEL.TIMM": Timm,
    "MODEL.RETINANET": RetinaNet,
    "MODEL.DENSE": Dense,
    "MODEL.ROI_BOX_HEAD": BoxHead,
    "MODEL.ROI_BOX_CASCADE_HEAD": Cascade,
    "MODEL.RPN": Classifier,
}
OTHER_GROUPS = {
    "MODEL": ClassWeights,
    "MODEL.SPEED": Speed,
    "MODEL_EMA": ModelEMA,
    "DATASETS": Datasets,
    "DATASETS.IGNORED": Ignored,
    "DATASETS.SHAPES": Shapes,
    "INPUT": Input,
    "INPUT.SSD": SSD,
    "DATALOADER": Dataloader,
    "RECORD": Record,
    "LEDGER": Ledger,
    "LEDGER.FEEDBACK": Feedback,
    "LOGGERS": Loggers,
    "SOLVER": Solver,
    "TEST": Test,
    "TEST.BEST": Best,
}
