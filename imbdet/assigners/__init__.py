"""Assigners decide to which object, if any, a prior belongs; they need torch alone.

Each is a function of priors, targets and, if it uses them, outputs of the head; see
:mod:`imbdet.structures`.
"""

from imbdet.assigners.assigner import Assigner, assign, join_images
from imbdet.assigners.atss import atss
from imbdet.assigners.boundary import IgnoreOutside
from imbdet.assigners.fcos import fcos
from imbdet.assigners.max_iou import max_iou
from imbdet.assigners.simota import simota
from imbdet.assigners.soft_label import soft_label
from imbdet.assigners.task_aligned import task_aligned
from imbdet.structures import Assignment, Outputs, Priors, Targets

__all__ = [
    "Assigner",
    "Assignment",
    "IgnoreOutside",
    "Outputs",
    "Priors",
    "Targets",
    "assign",
    "atss",
    "fcos",
    "join_images",
    "max_iou",
    "simota",
    "soft_label",
    "task_aligned",
]
