"""The survey of the data of a config, and the methods that the config can take."""

import copy
from collections.abc import Sequence

from detectron2.config import CfgNode

from imbdet import compat  # noqa: F401  (before detectron2's models)
from imbdet.advice.findings import Finding
from imbdet.advice.ledger_doubts import LedgerDoubts
from imbdet.advice.recommendation import meant_choices
from imbdet.advice.remedies import Part
from imbdet.advice.survey import Settings, Survey, survey
from imbdet.config import load_config
from imbdet.config_files.keys import changed_keys, get_key
from imbdet.data.annotation_columns import read_annotation_columns
from imbdet.data.checks import describe_class_numbers
from imbdet.data.coco import evaluator_type_of
from imbdet.data.plausibility import MAX_SHARE, reach_beyond
from imbdet.data.resizing import training_scales
from imbdet.errors import UserError
from imbdet.modeling import build_model, site_keys
from imbdet.modeling.assigners import build_assigner
from imbdet.modeling.build import build_criterion, build_sampler
from imbdet.modeling.detector_kind import is_one_stage
from imbdet.modeling.image_priors import priming_of
from imbdet.modeling.sites import sites_of
from imbdet.modeling.unread_keys import refuse_unread_keys

# Backbones that a piece may replace by its own, which is built on the same network.
_RESNETS = ("build_resnet_fpn_backbone", "build_retinanet_resnet_fpn_backbone")
_BACKBONE = "MODEL.BACKBONE.NAME"
# Names of assigners with fixed thresholds; the empty one is detectron2's own.
_FIXED = ("", "max_iou")


def survey_config(cfg: CfgNode, ledger: LedgerDoubts | None, *, is_own: bool) -> Survey:
    """Survey the data of a config.

    Args:
        cfg: a checked config, whose data sets are registered.
        ledger: doubts by the ledger of a run; None without one.
        is_own: whether the config is of these data, so that its number of classes counts.

    Raises:
        UserError: there are no training data, they or the detector cannot be used, or the ledger is
            of other data.
    """
    if not cfg.DATASETS.TRAIN:
        raise UserError("DATASETS.TRAIN is empty: name a data set to train on.")
    train, num_invalid, remarks = read_annotation_columns(cfg.DATASETS.TRAIN)
    test = None
    if cfg.DATASETS.TEST:
        test, _, of_test = read_annotation_columns(cfg.DATASETS.TEST)
        remarks += [remark for remark in of_test if remark not in remarks]
    if is_own and (remark := describe_class_numbers(cfg, cfg.DATASETS.TRAIN[0])):
        remarks.insert(0, remark)
    if not len(train):
        raise UserError(f"There are no images in {', '.join(cfg.DATASETS.TRAIN)}.")
    if ledger:
        _require_classes(ledger, len(train.classes))
    outside = reach_beyond(train.boxes, train.sizes[train.image_idxs])
    if len(outside) and outside.mean() > MAX_SHARE:
        outside[:] = False  # the form of all boxes is wrong, as a remark says, not some labels
    scales, resolution = training_scales(cfg, train.sizes)
    return survey(
        _settings(cfg, resolution),
        train,
        test,
        scales,
        outside=outside,
        num_invalid=num_invalid,
        remarks=remarks,
        priming=priming_of(build_model(_on_cpu(cfg))),
        ledger=ledger,
    )


def _require_classes(ledger: LedgerDoubts, num_classes: int) -> None:
    highest = max(ledger.judged, default=-1)
    if highest >= num_classes:
        raise UserError(
            f"The ledger has a class of number {highest}, but the training data have {num_classes} "
            "classes: name a run on these data."
        )


def kind_of(cfg: CfgNode) -> str:
    """The kind of a detector, as remedies name it."""
    return "one_stage" if is_one_stage(cfg) else "two_stage"


def _settings(cfg: CfgNode, resolution: str) -> Settings:
    is_dense = is_one_stage(cfg)
    site = site_keys.RETINANET if is_dense else site_keys.RPN
    ious = get_key(cfg, f"{site.head}.IOU_THRESHOLDS")
    head = cfg.MODEL.RETINANET if is_dense else cfg.MODEL.ROI_HEADS
    return Settings(
        resolution=resolution,
        frequency_bounds=tuple(cfg.TEST.FREQUENCY_BOUNDS),
        ious=(ious[0], ious[-1]) if get_key(cfg, f"{site.assigner}.NAME") in _FIXED else None,
        nms_threshold=head.NMS_THRESH_TEST,
        detections_per_image=cfg.TEST.DETECTIONS_PER_IMAGE,
        # LVIS's evaluation counts the detections of all classes together.
        detections_per_class=cfg.TEST.DETECTIONS_PER_IMAGE
        if "lvis" in map(evaluator_type_of, cfg.DATASETS.TEST)
        else cfg.TEST.MAX_DETECTIONS,
        ignores_crowds=cfg.DATASETS.IGNORED.CROWDS,
        drops_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS,
    )


def _on_cpu(cfg: CfgNode) -> CfgNode:
    cfg = copy.deepcopy(cfg)
    cfg.defrost()
    cfg.MODEL.DEVICE = "cpu"
    cfg.freeze()
    return cfg


def find_final(cfg: CfgNode) -> str | None:
    """The data set of the config that is neither for training nor for the test, if there is one."""
    entries = [*cfg.DATASETS.COCO, *cfg.DATASETS.LVIS]
    used = {*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST}
    others = [entry["NAME"] for entry in entries if entry["NAME"] not in used]
    return others[0] if len(others) == 1 else None


def usable_choices(
    files: Sequence[str], opts: Sequence[str], findings: Sequence[Finding]
) -> tuple[dict[str, list[Part]], dict[str, str]]:
    """The methods for what was found that a config can take.

    Args:
        files: files of the config.
        opts: overrides of the config.
        findings: findings of its data.

    Returns:
        The parts of each method, by its name; and why others are left out, by their names.
    """
    plain = load_config(*files, opts=opts)
    choices, refused = {}, {}
    for name, parts in meant_choices(findings, kind_of(plain)).items():
        try:
            _require_use(plain, load_config(*files, *_files(parts), opts=[*opts, *_opts(parts)]))
            choices[name] = parts
        except UserError as error:
            refused[name] = str(error)
    return choices, refused


def _files(parts: Sequence[Part]) -> list[str]:
    return [part for part in parts if isinstance(part, str)]


def _opts(parts: Sequence[Part]) -> list[str]:
    mappings = [part for part in parts if not isinstance(part, str)]
    return [str(word) for part in mappings for pair in part.items() for word in pair]


def _require_use(plain: CfgNode, cfg: CfgNode) -> None:
    changes = changed_keys(cfg, plain)
    if not changes:
        raise UserError("which the config has already.")
    if _BACKBONE in changes and get_key(plain, _BACKBONE) not in _RESNETS:
        raise UserError("which brings a backbone of its own.")
    refuse_unread_keys(cfg)
    for own, site in sites_of(cfg):
        build_sampler(own, site), build_criterion(own, site), build_assigner(own, site)
