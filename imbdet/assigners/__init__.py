"""Assigners decide to which object, if any, a prior belongs; they need torch alone.

Each is a function of priors, targets and, if it uses them, outputs of the head; see
:mod:`imbdet.structures`. One of them has a state, :class:`DynamicIoU`.
"""

from imbdet.assigners.assigner import Assigner, assign, assign_images, join_images, looks_at_outputs
from imbdet.assigners.atss import atss, ddod
from imbdet.assigners.boundary import IgnoreOutside
from imbdet.assigners.dynamic_iou import DynamicIoU
from imbdet.assigners.fcos import fcos
from imbdet.assigners.hungarian import hungarian, topk_hungarian
from imbdet.assigners.max_iou import max_iou
from imbdet.assigners.paa import paa
from imbdet.assigners.simota import simota
from imbdet.assigners.soft_label import soft_label
from imbdet.assigners.task_aligned import task_aligned
from imbdet.structures import Assignment, Outputs, Priors, Targets

__all__ = [
    "Assigner",
    "Assignment",
    "DynamicIoU",
    "IgnoreOutside",
    "Outputs",
    "Priors",
    "Targets",
    "assign",
    "assign_images",
    "atss",
    "ddod",
    "fcos",
    "hungarian",
    "join_images",
    "looks_at_outputs",
    "max_iou",
    "paa",
    "simota",
    "soft_label",
    "task_aligned",
    "topk_hungarian",
]


def __dir__() -> list[str]:
    """Public names of the package, without its modules."""
    return __all__
