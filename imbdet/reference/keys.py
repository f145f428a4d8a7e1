"""Every key that imbdet adds to detectron2's config: its default, meaning, unit and range.

Options of methods are not listed: each is a key because a method declares it
(:mod:`imbdet.options`), in the group of keys that is named after the method.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from imbdet.methods import Registry
from imbdet.options import Range


class Key(NamedTuple):
    """A key.

    Attributes:
        name: such as "MODEL.CARL.BIAS".
        default: its value if nothing is said.
        meaning: a sentence or more without the last full stop.
        range: what a number must be; None if any will do, or if those who read it check it.
    """

    name: str
    default: Any
    meaning: str
    range: Range | None = None


class Family(NamedTuple):
    """The methods of a registry, and the groups of keys that name and rule them.

    Attributes:
        registry: its name in :mod:`imbdet.methods`.
        nodes: groups of keys: of the detector and, where it has one, of the RPN.
        key: of these groups, names one or several.
        empty: what it means if it names none, in each group.
    """

    registry: str
    nodes: tuple[str, ...]
    key: str
    empty: tuple[str, ...]

    @property
    def keys(self) -> list[str]:
        """Full names of the keys that name methods."""
        return [f"{node}.{self.key}" for node in self.nodes]


_SAMPLERS = ("MODEL.SAMPLER", "MODEL.RPN_SAMPLER")
_EMPTY_SAMPLER = 'Empty is detectron2\'s: "all" of RetinaNet, "random" of RoI heads and RPN'
_EMPTY_CLS_LOSS = (
    'Empty is detectron2\'s: "focal" of RetinaNet, "softmax_cross_entropy" of the RoI heads',
    'Empty is detectron2\'s "sigmoid_cross_entropy"',
)
_EMPTY_BOX_LOSS = (
    "Empty leaves it to detectron2's MODEL.RETINANET.BBOX_REG_LOSS_TYPE or "
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE. Smooth L1's transition point stays detectron2's "
    "SMOOTH_L1_(LOSS_)BETA",
    "Empty leaves it to detectron2's MODEL.RPN.BBOX_REG_LOSS_TYPE",
)
FAMILIES = (
    Family("CLS_LOSSES", ("MODEL.CLS_LOSS", "MODEL.RPN_LOSS.CLS"), "NAME", _EMPTY_CLS_LOSS),
    Family("BOX_LOSSES", ("MODEL.BOX_LOSS", "MODEL.RPN_LOSS.BOX"), "NAME", _EMPTY_BOX_LOSS),
    Family("POSITIVE_SAMPLERS", _SAMPLERS, "POSITIVE.NAME", (_EMPTY_SAMPLER,) * 2),
    Family("NEGATIVE_SAMPLERS", _SAMPLERS, "NEGATIVE.NAME", (_EMPTY_SAMPLER,) * 2),
    Family("WEIGHTINGS", ("MODEL.WEIGHTING",), "NAMES", ("Factors multiply. Empty is none",)),
)
# Where the options of a method start otherwise: the RPN's anchors are positives from this IoU on.
_OTHER_DEFAULTS = {"MODEL.RPN_LOSS.CLS.ALRP.TAU": 0.7}
# What else is to be said about an option, as detectron2 has keys of its own.
_NOTES = {
    "MODEL.CLS_LOSS.FOCAL.ALPHA": ". ImbRetinaNet reads MODEL.RETINANET.FOCAL_LOSS_ALPHA instead",
    "MODEL.CLS_LOSS.FOCAL.GAMMA": ". ImbRetinaNet reads MODEL.RETINANET.FOCAL_LOSS_GAMMA instead",
}


def modeling_keys(registries: Mapping[str, Registry[Any]]) -> Iterator[Key]:
    """The keys that ``imbdet.modeling`` reads, with those of the methods in ``registries``."""
    yield from method_keys(registries)
    for node in _SAMPLERS:
        yield from _sampler_keys(node)
    for node in FAMILIES[0].nodes:
        yield from _cls_loss_keys(node)
    yield from _MODELING_KEYS


def imbdet_keys(registries: Mapping[str, Registry[Any]]) -> Iterator[Key]:
    """All keys, with those of the methods in ``registries``."""
    yield from modeling_keys(registries)
    yield from _OTHER_KEYS


def method_keys(registries: Mapping[str, Registry[Any]]) -> Iterator[Key]:
    """The keys that name methods, and those of their options."""
    for family in FAMILIES:
        registry = registries[family.registry]
        names = ", ".join(f'"{name}"' for name, _ in registry)
        for node, empty in zip(family.nodes, family.empty, strict=True):
            default: Any = [] if family.key == "NAMES" else ""
            title = registry.title.partition(",")[0]
            yield Key(f"{node}.{family.key}", default, f"{title}: {names}. {empty}")
            for _, method in registry:
                yield from option_keys(node, method)


def option_keys(node: str, method: Any) -> Iterator[Key]:
    """The keys of a method's options in a group of keys."""
    for option in method.own_options:
        name = f"{node}.{method.name}.{option.name}".upper()
        default = _OTHER_DEFAULTS.get(name, option.default)
        meaning = option.meaning[:1].upper() + option.meaning[1:].replace("``", "")
        yield Key(name, default, meaning + _NOTES.get(name, ""), option.range)


def _sampler_keys(node: str) -> Iterator[Key]:
    yield Key(
        f"{node}.MAX_NEG_POS_RATIO",
        0.0,
        "RoI heads and RPN, whose BATCH_SIZE_PER_IMAGE is the number of samples: at most so many "
        "negatives for each positive (for 1 if there is none). 0 = no such limit",
        Range(0),
    )
    yield Key(
        f"{node}.NEG_POS_RATIO",
        3.0,
        "ImbRetinaNet with a sampler of negatives: how many for each positive of the image",
        Range(0),
    )
    yield Key(
        f"{node}.MIN_NEGATIVES",
        100,
        "ImbRetinaNet with a sampler of negatives: how many at least, of an image with few "
        "positives or none",
        Range(0),
    )


def _cls_loss_keys(node: str) -> Iterator[Key]:
    yield Key(
        f"{node}.SCOPE",
        "batch",
        "Over which samples rankings, normalizers and counts run, in this loss and in the box loss "
        'beside it: "batch", those of one process; "global", those of all processes; "image", for '
        "losses of a ranking, those of one process with a ranking of each image",
    )
    yield Key(
        f"{node}.GUIDED_SCALE",
        False,
        'Whether to bring the classification loss to the value of the box loss: for sampling "all"',
    )


_PRIOR_PROB = (
    "Score with which sigmoid classifiers start, as RetinaNet does by its PRIOR_PROB: losses that "
    "sum over all negatives explode if all start at 0.5. 0 leaves the bias at 0"
)
_MODELING_KEYS = (
    Key(
        "MODEL.CARL.ENABLED",
        False,
        "Whether to add the classification-aware regression loss: a second box loss, by which the "
        "scores learn where boxes are good. The weight of a score p is ((1 - BIAS) p + BIAS)^K, "
        "brought to a mean of 1",
    ),
    Key("MODEL.CARL.K", 1.0, "Exponent: the larger, the more confident samples weigh", Range(0)),
    Key("MODEL.CARL.BIAS", 0.2, "Weight of a score of 0, before the power", Range(0, 1)),
    Key(
        "MODEL.BFP.REFINE_LEVEL",
        2,
        'Balanced feature pyramid, with the backbones "build_resnet_bfp_backbone" and '
        '"build_retinanet_resnet_bfp_backbone": index of the level in whose size all levels are '
        "averaged, 0 the finest",
        Range(0),
    ),
    Key(
        "MODEL.BFP.REFINEMENT",
        "non_local",
        'What refines the mean of the balanced feature pyramid, "non_local" or "none"',
    ),
    Key(
        "MODEL.RETINANET.BBOX_REG_LOSS_WEIGHT",
        1.0,
        "Weight of ImbRetinaNet's box loss, beside detectron2's keys of the same name for the "
        "others",
    ),
    Key("MODEL.ROI_BOX_HEAD.PRIOR_PROB", 0.0, _PRIOR_PROB, Range(0, 1, below=True)),
    Key("MODEL.RPN.PRIOR_PROB", 0.0, _PRIOR_PROB, Range(0, 1, below=True)),
)
_OTHER_KEYS = (
    Key(
        "MODEL.SPEED.CHANNELS_LAST",
        False,
        "Whether weights and features of backbone and heads are (N, H, W, C) in memory. What pays "
        "depends on the machine: docs/performance.md",
    ),
    Key(
        "MODEL.SPEED.COMPILE",
        False,
        "Whether backbone and heads are compiled by torch.compile, which takes a minute at the "
        "start and a C++ compiler on the CPU",
    ),
    Key(
        "MODEL.SPEED.BFLOAT16",
        False,
        "Whether to compute in mixed precision without a scaler, on CPU and GPU",
    ),
    Key(
        "DATASETS.COCO",
        [],
        "Data sets in COCO format, to be named in DATASETS.TRAIN and DATASETS.TEST: a list of "
        "{NAME: ..., JSON: annotation file, IMAGES: folder of the images}. Relative paths start at "
        'the working directory; "~" and "$VARIABLES" are expanded',
    ),
    Key(
        "DATASETS.INVALID_BOXES",
        "drop",
        "Boxes whose width or height is not above 0, outside their image or with NaN: "
        '"drop" them with a warning, or "refuse" the data set',
    ),
    Key(
        "DATASETS.BROKEN_IMAGES",
        "refuse",
        'Images that are missing or cannot be decoded, in training: "refuse" them, or "skip" with '
        "a warning",
    ),
    Key(
        "DATASETS.SHAPES.NUM_TRAIN",
        800,
        'Number of images of the synthetic data set "shapes_train", generated on first use. More '
        "of them leave the first ones as they are",
    ),
    Key(
        "DATASETS.SHAPES.NUM_VAL",
        200,
        'Number of images of the synthetic data set "shapes_val", as of "shapes_train"',
    ),
    Key("DATASETS.SHAPES.IMAGE_SIZE", 192, "Side of the square images, in pixels"),
    Key(
        "DATASETS.SHAPES.OBJECT_SIZE",
        (8, 64),
        "Smallest and largest size of an object, the longer side of its box in pixels. Sizes in "
        "between are log-uniform",
    ),
    Key(
        "DATASETS.SHAPES.CLASS_FREQUENCIES",
        (100.0, 10.0, 1.0),
        "How often each class appears in training, relative to the others; validation is balanced. "
        "One number for each class, in this order: circle, square, triangle, star, cross, diamond, "
        "pentagon, hexagon",
    ),
    Key(
        "DATASETS.SHAPES.OBJECTS_PER_IMAGE",
        8.0,
        "Mean number of objects in an image that is not empty",
    ),
    Key(
        "DATASETS.SHAPES.CLUTTER_RATIO",
        0.6,
        "Mean number of look-alikes (clutter, which is not annotated) in relation to that of "
        "objects. Empty images have clutter, too",
    ),
    Key("DATASETS.SHAPES.EMPTY_FRACTION", 0.05, "Share of the images without any object"),
    Key(
        "DATASETS.SHAPES.CROWD_FRACTION",
        0.02,
        "Share of the objects that are crowds (several, annotated as one)",
    ),
    Key(
        "DATASETS.SHAPES.LABEL_NOISE",
        0.0,
        "Share of the training objects whose annotated class is replaced by one of the others, all "
        'equally likely. The annotation file keeps the true one as "true_category_id"',
    ),
    Key("DATASETS.SHAPES.SEED", 0, "Other seeds are other images"),
    Key(
        "INPUT.AUGMENTATION",
        "",
        'How training images are augmented: "" resizes the short edge and flips, as detectron2 '
        'does by MIN_SIZE_TRAIN and the keys beside it; "ssd" distorts colours, expands, crops by '
        "IoU, resizes to a square and flips. RANDOM_FLIP rules the flip of both",
    ),
    Key("INPUT.SSD.SIZE", 512, "Side of the square, in pixels"),
    Key(
        "INPUT.SSD.BRIGHTNESS_DELTA",
        32.0,
        "Largest change of brightness, in [0, 255]. 0 = none",
    ),
    Key(
        "INPUT.SSD.CONTRAST",
        (0.5, 1.5),
        "Lowest and highest factor of the contrast. (1.0, 1.0) = no change",
    ),
    Key(
        "INPUT.SSD.SATURATION",
        (0.5, 1.5),
        "Lowest and highest factor of the saturation. (1.0, 1.0) = no change",
    ),
    Key("INPUT.SSD.HUE_DELTA", 18.0, "Largest turn of the hue, in degrees. 0 = none"),
    Key("INPUT.SSD.EXPAND_PROB", 0.5, "Share of the images that are put on a larger canvas"),
    Key(
        "INPUT.SSD.EXPAND_RATIO",
        4.0,
        "Largest ratio of the canvas's sides to the image's. 1 = no canvas",
    ),
    Key(
        "INPUT.SSD.MIN_IOUS",
        (0.1, 0.3, 0.5, 0.7, 0.9),
        "Minimum IoUs of the crop with an object, one drawn for each image, or no crop, or any",
    ),
    Key(
        "INPUT.SSD.MIN_CROP_SIZE",
        0.3,
        "Shortest sides of the crop, relative to the image's. 1 = no crop",
    ),
    Key(
        "DATALOADER.RANDOM_SUBSET_RATIO",
        1.0,
        "Share of the images that RandomSubsetTrainingSampler shows. detectron2 v0.6 has the "
        "sampler, but not the key",
    ),
    Key(
        "RECORD.PERIOD",
        0,
        "How many iterations from one record of the samples to the next, in OUTPUT_DIR/records; "
        "see docs/records.md. 0 = off; 20 costs little",
    ),
    Key(
        "RECORD.NUM_HARD_NEGATIVES",
        32,
        "Negatives that become rows, of each image and for RetinaNet, RPN or RoI heads: so many of "
        "the highest losses",
    ),
    Key(
        "RECORD.NUM_RANDOM_NEGATIVES",
        32,
        "Negatives that become rows beside those of the highest losses: so many at random of the "
        "others",
    ),
    Key(
        "RECORD.MAX_MB",
        1000,
        "Room for all files, in MB (10^6 bytes). The period doubles each time half of what was "
        "left is used",
    ),
    Key(
        "SOLVER.CHECKPOINT_KEEP",
        0,
        "How many of the newest checkpoints stay in OUTPUT_DIR, the final one aside. 0 = all",
    ),
    Key(
        "SOLVER.MAX_SKIPPED",
        0,
        "How many iterations with a loss or gradient that is not finite are skipped, in all, "
        "before the training stops. Each is saved with its weights in OUTPUT_DIR/watch. 0 = stop "
        "at the first",
    ),
    Key("SOLVER.OPTIMIZER", "SGD", '"SGD" or "AdamW"; MOMENTUM and NESTEROV rule SGD only'),
    Key(
        "TEST.COCO_LIBRARY",
        "faster-coco-eval",
        'Which library computes COCO\'s metrics: "faster-coco-eval" or "pycocotools". The numbers '
        "are the same",
    ),
    Key(
        "TEST.MAX_DETECTIONS",
        100,
        "How many detections of a class in an image count, those of the highest scores. With "
        "another number than COCO's 100 the metrics are not COCO's. DETECTIONS_PER_IMAGE is the "
        "number that the detector returns, of all classes",
        Range(10),
    ),
    Key(
        "TEST.NUM_PICTURES",
        8,
        "How many test images to draw after an evaluation, ground truth beside detections. "
        "0 = none",
    ),
    Key(
        "TEST.PICTURE_SCORE_THRESH",
        -1.0,
        "Lowest score of a detection that is drawn, also by `imbdet predict`. -1 = the best "
        "threshold of each class, by optimal LRP, as the evaluation found it; 0.3 without one",
        Range(-1, 1),
    ),
)
