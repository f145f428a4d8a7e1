"""Statistics of the data of a training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from imbdet.advice.anchor_fit import AnchorFit, anchor_fit
from imbdet.advice.annotated_images import AnnotatedImages
from imbdet.advice.checkpoint_look import CheckpointLook
from imbdet.advice.class_tail import ClassTail, class_tail
from imbdet.advice.crowding import Crowding, beyond_limits, crowding
from imbdet.advice.doubtful_boxes import SAME_BOX, DoubtfulBoxes, doubtful_boxes
from imbdet.advice.ledger_doubts import LedgerDoubts
from imbdet.advice.overlaps import find_overlaps
from imbdet.advice.sizes import SizeShares, size_shares
from imbdet.advice.tail_lag import TailLag, tail_lag
from imbdet.assigners import Assigner
from imbdet.structures import Priors


class Settings(NamedTuple):
    """Settings of a training that a survey needs.

    Attributes:
        resolution: resolution of the training images that the network sees, in words.
        frequency_bounds: largest numbers of images with a rare class, and with a common one.
        ious: IoU below which a prior is background, and IoU from which on it is positive; None with
            an assigner without fixed thresholds.
        nms_threshold: IoU above which the box with the lower score is removed.
        detections_per_image: largest number of detections of an image.
        detections_per_class: largest number of detections of a class in an image that an evaluation
            counts.
        ignores_crowds: whether crowds are ignored, and not background.
        drops_empty: whether images without objects are left out of the training.
    """

    resolution: str
    frequency_bounds: tuple[int, int]
    ious: tuple[float, float] | None
    nms_threshold: float
    detections_per_image: int
    detections_per_class: int
    ignores_crowds: bool
    drops_empty: bool


class Priming(NamedTuple):
    """The place of a detector that assigns priors.

    Attributes:
        priors_of: function from the width and height of an image to its priors.
        assigner: assigner of the priors.
        strides: strides of its levels, in pixels.
        place: name of its class.
    """

    priors_of: Callable[[int, int], Priors]
    assigner: Assigner
    strides: tuple[int, ...]
    place: str


@dataclass(frozen=True, eq=False)
class Survey:
    """The data of a training in numbers.

    Attributes:
        settings: settings of the config.
        train: the training data, without regions.
        test: the test data, without regions; None without any.
        tail: numbers of objects and images of the classes of the training data.
        sizes: sizes of the training objects as the detector sees them; None without objects.
        fit: fit of the priors to the objects; None without objects, or if the priors are not known.
        strides: strides of the priors, in pixels; empty if the priors are not known.
        place: class of the part of the detector that has the priors; empty if they are not known.
        crowding: crowding of the training objects.
        beyond_limits: share of the test objects beyond the limits of the numbers of detections; of
            the training objects without test data.
        doubts: training annotations whose boxes are implausible.
        num_invalid: number of training boxes that were left out as invalid.
        remarks: sentences on what must be put right first.
        ledger: doubts about the training data by a ledger; None without one.
        checkpoint: statistics of training images by a checkpoint; None without one.
    """

    settings: Settings
    train: AnnotatedImages
    test: AnnotatedImages | None
    tail: ClassTail
    sizes: SizeShares | None
    fit: AnchorFit | None
    strides: tuple[int, ...]
    place: str
    crowding: Crowding
    beyond_limits: float
    doubts: DoubtfulBoxes
    num_invalid: int
    remarks: Sequence[str]
    ledger: LedgerDoubts | None
    checkpoint: CheckpointLook | None = None

    @property
    def empty_share(self) -> float:
        """Share of the training images without objects."""
        return float((self.train.num_per_image() == 0).mean())

    @property
    def tail_lag(self) -> TailLag | None:
        """Rare classes compared with the others; None without a ledger, or without either."""
        return self.ledger and tail_lag(self.tail, self.settings.frequency_bounds[0], self.ledger)

    def with_checkpoint(self, look: CheckpointLook, ledger: LedgerDoubts) -> "Survey":
        """A copy with the statistics by a checkpoint.

        Args:
            look: statistics of some images.
            ledger: doubts of the same pass, unless there are those of a whole training.
        """
        return replace(self, checkpoint=look, ledger=self.ledger or ledger)


def survey(
    settings: Settings,
    train: AnnotatedImages,
    test: AnnotatedImages | None,
    scales: np.ndarray,
    outside: np.ndarray,
    num_invalid: int,
    remarks: Sequence[str],
    priming: Priming | None,
    ledger: LedgerDoubts | None,
) -> Survey:
    """Compute the statistics.

    Args:
        settings: settings of the config.
        train: the training data, with valid boxes only.
        test: the test data; None without any.
        scales: (I, 2) factors of width and height by which each training image is resized.
        outside: (A,) bool, whether each training annotation reaches far beyond its image.
        num_invalid: number of training boxes that were left out.
        remarks: sentences on what must be put right first.
        priming: the detector's priors and assigner; None if the detector is not one of imbdet.
        ledger: doubts by the ledger of a run; None without one.
    """
    objects = train.objects()
    overlaps = find_overlaps(objects, above=min(settings.nms_threshold, SAME_BOX))
    tested = None if test is None else test.objects()
    return Survey(
        settings=settings,
        train=objects,
        test=tested,
        tail=class_tail(objects),
        sizes=size_shares(objects, scales),
        fit=priming and anchor_fit(objects, scales, priming.priors_of, priming.assigner),
        strides=priming.strides if priming else (),
        place=priming.place if priming else "",
        crowding=crowding(train, objects, overlaps, settings.nms_threshold),
        beyond_limits=beyond_limits(
            objects if tested is None else tested,
            settings.detections_per_image,
            settings.detections_per_class,
        ),
        doubts=doubtful_boxes(objects, overlaps, outside[~train.is_region]),
        num_invalid=num_invalid,
        remarks=remarks,
        ledger=ledger,
    )
