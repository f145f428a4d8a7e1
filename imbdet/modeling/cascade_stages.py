"""The stages of a cascade: the keys that each of them reads, and its place in the detector."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from detectron2.config import CfgNode

from imbdet.config.merging import set_key
from imbdet.config.values import refuse_declared_values
from imbdet.config_files.keys import leaves
from imbdet.errors import UserError
from imbdet.learning import Place
from imbdet.modeling.site_keys import CASCADE, ReadingSite, Site

NODE = "MODEL.ROI_BOX_CASCADE_HEAD"


def stages_of(cfg: CfgNode) -> list[ReadingSite]:
    """The stages of a config's cascade, the first one first.

    Raises:
        UserError: the keys of the cascade contradict each other, or those of a stage do not exist.
    """
    _refuse_misfits(cfg)
    return [ReadingSite(_config_of(cfg, k), _site_of(k)) for k in range(_num_stages(cfg))]


@contextmanager
def naming_stage(cfg: CfgNode, k: int) -> Iterator[None]:
    """Begin the message of a UserError by the stage, counted from 0 as in detectron2's names."""
    try:
        yield
    except UserError as error:
        takes_all = k > 0 and not cfg.MODEL.ROI_BOX_CASCADE_HEAD.STAGES
        why = f", which takes all proposals, since {NODE}.STAGES is empty" if takes_all else ""
        raise UserError(f"Stage {k} of the cascade{why}: {error}") from error


def stage_place(k: int) -> Place:
    """The place of a stage; its prefix of scalars begins as in detectron2."""
    return Place(f"roi_heads_stage{k}", f"stage{k}/roi_head", CASCADE.module)


def _site_of(k: int) -> Site:
    return replace(CASCADE, place=stage_place(k))


def _num_stages(cfg: CfgNode) -> int:
    return len(cfg.MODEL.ROI_BOX_CASCADE_HEAD.IOUS)


def _config_of(cfg: CfgNode, k: int) -> CfgNode:
    own = cfg.clone()
    own.defrost()
    node = cfg.MODEL.ROI_BOX_CASCADE_HEAD
    own.MODEL.ROI_HEADS.IOU_THRESHOLDS = [node.IOUS[k]]
    own.MODEL.ROI_HEADS.IOU_LABELS = [0, 1]
    if node.STAGES:
        where = f"in {NODE}.STAGES[{k}]"
        for key, value in leaves(node.STAGES[k], "MODEL."):
            if not any(key.startswith(f"{group}.") for group in CASCADE.nodes):
                groups = ", ".join(group.removeprefix("MODEL.") for group in CASCADE.nodes)
                raise UserError(f"'{key}' {where} is none of a stage: its groups are {groups}.")
            set_key(own, key, value, where)
        with naming_stage(cfg, k):
            refuse_declared_values(own)
    elif k > 0:
        # As in detectron2, only the first stage samples.
        for kind in ("POSITIVE", "NEGATIVE"):
            set_key(own, f"{CASCADE.sampler}.{kind}.NAME", "all", "")
    own.freeze()
    return own


def _refuse_misfits(cfg: CfgNode) -> None:
    """Raise UserError if the keys of a cascade contradict each other."""
    node, num_stages = cfg.MODEL.ROI_BOX_CASCADE_HEAD, _num_stages(cfg)
    if len(node.BBOX_REG_WEIGHTS) != num_stages:
        raise UserError(
            f"{NODE}.BBOX_REG_WEIGHTS are of {len(node.BBOX_REG_WEIGHTS)} stages, but "
            f"{NODE}.IOUS of {num_stages}."
        )
    for name in ("STAGES", "LOSS_WEIGHTS"):
        if len(node[name]) not in (0, num_stages):
            raise UserError(
                f"{NODE}.{name} is of {len(node[name])} stages, but {NODE}.IOUS of {num_stages}: "
                "write one for each, or leave it empty."
            )
    if not all(isinstance(group, dict) for group in node.STAGES):
        raise UserError(
            f"{NODE}.STAGES must be a list of groups of keys, such as "
            "[{}, {CLS_LOSS: {NAME: focal}}, {}]."
        )
    if not num_stages or node.IOUS[0] != cfg.MODEL.ROI_HEADS.IOU_THRESHOLDS[0]:
        raise UserError(
            f"{NODE}.IOUS is {list(node.IOUS)}, but its first stage assigns by "
            f"MODEL.ROI_HEADS.IOU_THRESHOLDS, {list(cfg.MODEL.ROI_HEADS.IOU_THRESHOLDS)}: they "
            "must begin alike."
        )
    if not cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG:
        raise UserError(
            "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG is False, but the boxes of a stage are "
            "proposals of the next one, which know no class: set it to True."
        )
    if cfg.MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES:
        raise UserError(
            "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES has no effect on a cascade, whose other heads "
            "train on the proposals of the first stage: set it to False."
        )
