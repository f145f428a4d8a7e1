"""Records of the samples of a training; only ``..._columns`` need more than torch and numpy."""

from imbdet.records.histograms import (
    IOU_EDGES,
    LOSS_EDGES,
    JointHistograms,
    joint_histogram,
    read_histograms,
)
from imbdet.records.sample_record import SampleRecord
from imbdet.records.strata import NegativeStrata, draw_negatives

__all__ = [
    "IOU_EDGES",
    "LOSS_EDGES",
    "JointHistograms",
    "NegativeStrata",
    "SampleRecord",
    "draw_negatives",
    "joint_histogram",
    "read_histograms",
]
