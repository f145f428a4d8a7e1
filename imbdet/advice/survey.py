"""All that is counted of the data of a training."""

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
    """What the config of a training says.

    Attributes:
        resolution: at which training objects are seen, in words.
        frequency_bounds: the most images of a rare class, and of a common one.
        ious: of fixed thresholds, the IoU below which a prior is background, and from which on it
            is positive; None with another assigner.
        nms_threshold: IoU above which the box of the lower score goes.
        detections_per_image: how many there are at most.
        detections_per_class: how many of them an evaluation compares, of each class.
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
        priors_of: the priors of an image of a width and height.
        assigner: decides to which object they belong.
        strides: of its levels, in pixels.
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
        settings: of the config.
        train: the training data, without regions.
        test: the test data, without regions; None without any.
        tail: classes of the training data.
        sizes: of the training objects where the detector sees them; None without objects.
        fit: of the priors; None if they are not known.
        strides: of the priors; empty if they are not known.
        place: of the detector, that has the priors.
        crowding: of the training objects.
        beyond_limits: share of the test objects for which no detection is left.
        doubts: about training annotations.
        num_invalid: boxes of the training data that were left out, since they are none.
        remarks: sentences on what must be put right first.
        ledger: what a detector said of the training data; None without one.
        checkpoint: what one makes of training images; None without a look.
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
        """Rare classes beside others; None where no detector was asked, or nothing compares."""
        return self.ledger and tail_lag(self.tail, self.settings.frequency_bounds[0], self.ledger)

    def with_checkpoint(self, look: CheckpointLook, ledger: LedgerDoubts) -> "Survey":
        """The same after a look by a checkpoint.

        Args:
            look: at some images.
            ledger: of that look; that of a whole training tells more, and stays.
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
    """Count everything.

    Args:
        settings: of the config.
        train: the training data, valid boxes alone.
        test: the test data.
        scales: (I, 2) factors of width and height by which each training image is resized.
        outside: (A,) bool, whether annotations of the training reach far beyond their image.
        num_invalid: boxes of the training data that were left out.
        remarks: sentences on what must be put right first.
        priming: of the detector, where it is one of imbdet.
        ledger: what the ledger of a run says.
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
